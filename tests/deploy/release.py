"""Deploys a release onto an emulation of AWS, as a team without Rust does it: from the unpacked folder, with the AWS CLI
alone, and then with `hookkeeper deploy` alone.

    python release.py dist
"""

import json
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
from emulation import (
    PREFIXES,
    PROVIDERS,
    STACK,
    deploy_with_aws,
    ministack,
    outputs,
    run_in,
    sample,
    send,
    wait_for,
    without_build_tools,
)


def check(release, environment):
    run = partial(run_in, release, environment)
    run("sha256sum", "--check", "--quiet", "SHA256SUMS")
    started = time.monotonic()
    made = [json.loads(line) for line in run("./hookkeeper", "credentials", *PROVIDERS, "--output", "json").splitlines()]
    run("aws", "s3", "mb", "s3://code")
    deploy_with_aws(release, environment, *(f"{it['parameter']}={it['value']}" for it in made))
    print(f"aws cloudformation package and deploy: {time.monotonic() - started:.1f} s, with the credentials")
    receive(run, {it["provider"]: secret(it) for it in made})
    print(f"with the AWS CLI, to the first event of each provider: {time.monotonic() - started:.1f} s")

    boto3.client("cloudformation").delete_stack(StackName=STACK)
    wait_for("the end of the stack", lambda: not boto3.client("lambda").list_functions()["Functions"])
    started = time.monotonic()
    deploy = ["deploy", *PROVIDERS, "--set", "EnforceTls=false", "--yes", "--output", "json"]
    deployed = json.loads(run("./hookkeeper", *deploy))
    print(f"hookkeeper deploy: {time.monotonic() - started:.1f} s")
    receive(run, {it["provider"]: secret(it) for it in deployed["credentials"]})
    print(f"with hookkeeper deploy, to the first event of each provider: {time.monotonic() - started:.1f} s")
    again = json.loads(run("./hookkeeper", *deploy))
    assert not again["changed"] and not again["credentials"], again
    print("a second hookkeeper deploy changes nothing")


def secret(made):
    """What a provider shows: a user name and a password, or a key."""
    return [made["key"]] if "key" in made else [made["user"], made["password"]]


def receive(run, secrets):
    """Sends a sample of each provider, and finds its event with the command of the release."""
    urls = outputs()
    for provider, prefix in PREFIXES.items():
        url = urls[f"{prefix}Url"]
        assert send(url, None, *sample(provider)) == 401, f"{provider} lets a stranger in"
        assert send(url, secrets[provider], *sample(provider)) == 200, provider
    events = [json.loads(line) for line in run("./hookkeeper", "events", "--output", "json").splitlines()]
    assert sorted(event["source"].split("/")[0] for event in events) == PROVIDERS, events


with TemporaryDirectory() as folder, ministack():
    release = shutil.copytree(sys.argv[1], Path(folder, "release"))
    check(release, without_build_tools(folder))
