"""An emulation of AWS (MiniStack) on this machine, which runs the real binaries with the real rights: it refuses what
their roles do not allow. And what a provider and an operator do with a stack on it.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import boto3

STACK = "hookkeeper"
PORT = os.environ.get("GATEWAY_PORT", "4566")
ENDPOINT = f"http://127.0.0.1:{PORT}"
LOG = Path("target/deploy/ministack.log")
# Each provider has a folder of samples. The first one that is stored as one event is sent.
PROVIDERS = sorted(path.name for path in Path("events").iterdir() if path.is_dir())
SAMPLES = {provider: min(Path("events", provider).glob("*.stored.json")) for provider in PROVIDERS}
# Beginnings of the logical ids of the functions, and of the names of their parameters and outputs.
PREFIXES = {provider: provider.capitalize() for provider in PROVIDERS}
os.environ |= {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "GATEWAY_PORT": PORT,
    "BIND_HOST": "127.0.0.1",
    "AUTH": "true",
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "LAMBDA_EXECUTOR": "local",
}


@contextmanager
def ministack():
    with LOG.open("w") as log:
        server = subprocess.Popen([Path(sys.executable).with_name("ministack")], stdout=log, stderr=log)
        try:
            wait_for("MiniStack", lambda: server.poll() is not None or "Running on" in LOG.read_text())
            assert server.poll() is None, f"MiniStack did not start: {LOG.read_text()}"
            yield
        except Exception:
            tell()
            raise
        finally:
            server.terminate()
            server.wait()


def wait_for(what, is_there, seconds=60):
    for _ in range(seconds * 10):
        if is_there():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come in {seconds} s")


def run(*command):
    """What a command printed, whether it succeeded or not."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def without_build_tools(folder):
    """An environment with the AWS CLI and the system's tools: no cargo, zig or SAM."""
    tool = Path(folder, "bin", "aws")
    tool.parent.mkdir()
    tool.symlink_to(Path(sys.executable).with_name("aws"))
    path = f"{tool.parent}:/usr/bin:/bin"
    found = [name for name in ("cargo", "rustc", "zig", "sam", "cargo-lambda") if shutil.which(name, path=path)]
    assert not found, f"{found} are on the path"
    return os.environ | {"PATH": path}


def run_in(release, environment, *command):
    """What a command prints that succeeds in the folder of a release."""
    done = subprocess.run(command, cwd=release, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def deploy_with_aws(release, environment, *parameters):
    """Deploys a release with the AWS CLI, from a bucket that is there."""
    if "EnforceTls:" in Path(release, "template.yaml").read_text():
        parameters = ["EnforceTls=false", *parameters]
    package = ["--template-file", "template.yaml", "--s3-bucket", "code", "--output-template-file", "packaged.yaml"]
    run_in(release, environment, "aws", "cloudformation", "package", *package)
    deploy = ["--template-file", "packaged.yaml", "--stack-name", STACK, "--s3-bucket", "code"]
    deploy += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    if parameters:
        deploy += ["--parameter-overrides", *parameters]
    run_in(release, environment, "aws", "cloudformation", "deploy", *deploy)


def outputs():
    """The outputs of the stack."""
    [stack] = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def credentials(*arguments):
    """What `hookkeeper credentials` says to paste and to deploy: the secret, and the parameter with its value."""
    succeeded, printed = run("hookkeeper", "credentials", *arguments)
    assert succeeded, printed
    shown = re.findall(r"(?:user name|password|\?key=) *(\S+)", printed)
    name, value = re.search(r"--parameter-overrides (\w+)=(\S+)", printed).groups()
    return shown, {name: value}


def send(url, shown=None, body=None, content_type=None, path=""):
    """The status that a request is answered with."""
    url = urllib.parse.urlsplit(url)
    query = f"?key={shown[0]}" if shown and len(shown) == 1 else ""
    request = urllib.request.Request(f"{ENDPOINT}{url.path}{path}{query}", data=body, headers={"Host": url.netloc})
    if shown and len(shown) == 2:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(shown).encode()).decode())
    if content_type:
        request.add_header("Content-Type", content_type)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def sample(provider):
    """A sample's body, as it is on the wire, and its content type."""
    event = json.loads(SAMPLES[provider].read_text())
    body = event["body"].encode()
    return base64.b64decode(body) if event.get("isBase64Encoded") else body, event["headers"]["content-type"]


def items(table):
    return boto3.client("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]


def depth(queue):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(map(int, counts.values()))


def allow_batches():
    """AWS's sqs:SendMessage includes SendMessageBatch, which no policy can name. For the emulation it is an action of its own."""
    iam = boto3.client("iam")
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if "receive" in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            policy = iam.get_role_policy(RoleName=name, PolicyName="receive")["PolicyDocument"]
            statements = [it for it in policy["Statement"] if it["Action"] == "sqs:SendMessage"]
            policy["Statement"] = [it | {"Action": "sqs:SendMessageBatch"} for it in statements]
            iam.put_role_policy(RoleName=name, PolicyName="batches", PolicyDocument=json.dumps(policy))


def logged(function):
    """The lines that a function logged."""
    logs = boto3.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    [group] = [group for group in groups if f"{function}Log" in group]
    events = logs.filter_log_events(logGroupName=group)["events"]
    return [json.loads(event["message"]) for event in events if event["message"].startswith("{")]


def tell():
    """What the functions logged last."""
    for function in (*PREFIXES.values(), "Drain", "Relay"):
        logs = boto3.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            if f"{function}Log" in group["logGroupName"]:
                for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"][-6:]:
                    print(f"{function}: {event['message'].strip()}")
