"""Deploys what `sam build` made onto an emulation of AWS on this machine, and uses it as a provider and an operator would.

The emulation (MiniStack) runs the real binaries, with the real rights: it refuses what their roles do not allow.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

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


def deploy(**parameters):
    # The emulation is asked without TLS.
    parameters = {"EnforceTls": "false"} | parameters
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    started = time.monotonic()
    succeeded, printed = run("sam", "deploy", *(["--parameter-overrides", *overrides] if overrides else []))
    print(f"sam deploy {' '.join(parameters)}: {time.monotonic() - started:.0f} s")
    return succeeded, printed


def deployed(**parameters):
    """The outputs of the stack."""
    succeeded, printed = deploy(**parameters)
    assert succeeded, printed
    stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
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


def keys(table):
    return {item["pk"]["S"].split("/")[0].split("#")[0] for item in items(table)}


def unprotect(table):
    """Turns the table's deletion protection off, without which it cannot be deleted."""
    dynamodb = boto3.client("dynamodb")
    try:
        dynamodb.delete_table(TableName=table)
    except dynamodb.exceptions.ClientError as error:
        assert "protect" in str(error), error
    else:
        raise AssertionError("the table can be deleted by mistake")
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)


def sks(table):
    return sorted(item["sk"]["S"] for item in items(table))


def depth(queue):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(map(int, counts.values()))


def logged(function):
    """The lines that a function logged."""
    logs = boto3.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    [group] = [group for group in groups if f"{function}Log" in group]
    events = logs.filter_log_events(logGroupName=group)["events"]
    return [json.loads(event["message"]) for event in events if event["message"].startswith("{")]


def failing():
    """The checks of `hookkeeper doctor` that fail. Not those of the URLs: this machine may know no way to the emulation's."""
    _, printed = run("hookkeeper", "doctor", "--output", "json")
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert found, printed
    return [it["check"] for it in found if it["verdict"] == "fail" and it["check"] not in SAMPLES]


def consumed(table):
    """The types of the events that the consumer in Python prints, of the last hour."""
    hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    with TemporaryDirectory() as folder:
        position = str(Path(folder, "position.json"))
        succeeded, printed = run(sys.executable, "examples/consumer.py", table, position, hour_ago.isoformat())
    assert succeeded, printed
    return sorted(json.loads(line)["type"] for line in printed.splitlines())


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


def functions():
    names = [function["FunctionName"] for function in boto3.client("lambda").list_functions()["Functions"]]
    return sorted(name.split("-")[1] for name in names)


def check():
    shown, parameters = {}, {}
    for provider in SAMPLES:
        shown[provider], parameter = credentials(provider, "--label", "old")
        parameters |= parameter

    first, *others = PREFIXES.values()
    succeeded, printed = deploy(**{f"{first}Credentials": "user:password"})
    assert not succeeded and "must be label:digest" in printed, printed
    print("a password instead of a digest is refused")

    outputs = deployed(**{name: value for name, value in parameters.items() if name.startswith(first)})
    assert functions() == sorted(["DrainFunction", f"{first}Function"]), functions()
    assert not [prefix for prefix in others if f"{prefix}Url" in outputs], outputs
    print("a provider with no credentials is left out")

    outputs = deployed(**parameters)
    urls = {provider: outputs[f"{prefix}Url"] for provider, prefix in PREFIXES.items()}
    table, queue, dead = outputs["TableName"], outputs["FallbackQueueUrl"], outputs["DeadLetterQueueUrl"]
    assert outputs["StreamArn"] == boto3.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    assert "No changes to deploy" in deploy(**parameters)[1]
    print("a second deploy changes nothing")
    allow_batches()

    for provider, url in urls.items():
        body, content_type = sample(provider)
        assert send(url) == 200, f"{provider} refuses a GET"
        for path, secret in [("", None), ("", ["user", "password"]), ("/", ["key"])]:
            assert send(url, secret, body, content_type, path) == 401, f"{provider} lets a stranger in"
        assert not keys(table) & {provider}, "an unauthorized delivery is stored"
        for path in ["", "/"]:
            assert send(url, shown[provider], body, content_type, path) == 200, provider
        assert provider in keys(table), f"{provider} is answered 200 and not stored"
        print(f"{provider}: stored, {url}")
    kept = sks(table)
    succeeded, printed = run("hookkeeper", "events", "--output", "json")
    assert succeeded and len(printed.splitlines()) == len(PROVIDERS), printed
    assert consumed(table) == sorted(json.loads(line)["type"] for line in printed.splitlines())
    print("hookkeeper events and the consumer in Python see the stored events")
    assert depth(queue) == 0
    # The emulation forgets the table's TimeToLiveSpecification.
    assert failing() == ["expiry"], failing()

    # An outage of the table, of three receives of the drain at the least. They are 180 s apart in the template, here 2 s.
    boto3.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "2"})
    schema = boto3.client("dynamodb").describe_table(TableName=table)["Table"]
    unprotect(table)
    boto3.client("dynamodb").delete_table(TableName=table)
    for provider, url in urls.items():
        assert send(url, shown[provider], *sample(provider)) == 200, f"{provider} with no table"
    assert depth(queue) == len(PROVIDERS), depth(queue)
    assert failing() == ["table", "fallback queue"], failing()
    wait_for("the third receive", lambda: sum(line.get("left", 0) for line in logged("Drain")) >= 3 * len(PROVIDERS))
    indexes = [{key: index[key] for key in ("IndexName", "KeySchema", "Projection")} for index in schema["GlobalSecondaryIndexes"]]
    boto3.client("dynamodb").create_table(
        TableName=table,
        KeySchema=schema["KeySchema"],
        AttributeDefinitions=schema["AttributeDefinitions"],
        GlobalSecondaryIndexes=indexes,
        BillingMode="PAY_PER_REQUEST",
    )
    wait_for("the end of the fallback queue", lambda: depth(queue) == 0)
    assert depth(dead) == 0, "the outage filled the dead letters"
    assert sks(table) == kept, "not the items from before"
    print("without a table: answered 200, queued, and drained when it was back")

    new, both = credentials("pipedrive", "--add", "--label", "new")
    deployed(**both)
    body, content_type = sample("pipedrive")
    assert [send(urls["pipedrive"], it, body, content_type) for it in (shown["pipedrive"], new)] == [200, 200]
    _, without_old = credentials("pipedrive", "--drop", "old")
    deployed(**without_old)
    assert [send(urls["pipedrive"], it, body, content_type) for it in (shown["pipedrive"], new)] == [401, 200]
    labels = {line["credential"] for line in logged("Pipedrive") if "credential" in line}
    assert labels == {"old", "new"}, labels
    print("a password is rotated without a refused delivery")

    secrets = [part for secret in [*shown.values(), new] for part in secret]
    told = json.dumps([logged(name) for name in (*PREFIXES.values(), "Drain")]) + json.dumps(outputs)
    assert not [secret for secret in secrets if secret in told], "a secret is told"

    # What still waits when the stack is deleted was answered 200.
    boto3.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "900"})
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody="waits in the fallback queue")
    boto3.client("sqs").send_message(QueueUrl=dead, MessageBody="waits in the dead letters")
    succeeded, printed = run("sam", "delete", "--stack-name", STACK, "--no-prompts")
    assert succeeded, printed
    assert functions() == [], functions()
    assert sks(table), "the table is gone with the stack"
    waiting = "ApproximateNumberOfMessagesDelayed"
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[waiting])["Attributes"]
    assert attributes[waiting] == "1", f"the message in the fallback queue is gone with the stack: {attributes}"
    assert depth(dead) == 1, "the dead letters are gone with the stack"
    print("deleted; the table, the fallback queue and the dead-letter queue stay, with their contents")

    new = boto3.client("sqs").create_queue(QueueName="new")["QueueUrl"]
    succeeded, printed = run(sys.executable, "examples/move_messages.py", dead, new)
    assert succeeded and printed == "1 moved\n", printed
    assert (depth(dead), depth(new)) == (0, 1), "a message is lost on its way into another queue"
    print("what was left in a queue is moved into another one")


def tell():
    """What the functions logged last."""
    for function in (*PREFIXES.values(), "Drain"):
        logs = boto3.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            if f"{function}Log" in group["logGroupName"]:
                for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"][-6:]:
                    print(f"{function}: {event['message'].strip()}")


with ministack():
    try:
        check()
    except Exception:
        tell()
        raise
