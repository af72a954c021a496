"""Deploys what `sam build` made onto an emulation of AWS on this machine, and uses it as a provider and an operator would."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
from emulation import (
    PREFIXES,
    PROVIDERS,
    SAMPLES,
    STACK,
    allow_batches,
    credentials,
    depth,
    items,
    logged,
    ministack,
    outputs,
    run,
    sample,
    send,
    wait_for,
)


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
    return outputs()


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


def failing():
    """The checks of `hookkeeper doctor` that fail. Not those of the URLs: this machine may know no way to the emulation's."""
    _, printed = run("hookkeeper", "doctor", "--output", "json")
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert found, printed
    return [it["check"] for it in found if it["verdict"] == "fail" and it["check"] not in SAMPLES]


def consumed(table):
    """The types of the events that the consumer in Python prints, of the last hour."""
    os.environ["DELAY"] = "0"
    hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    with TemporaryDirectory() as folder:
        position = str(Path(folder, "position.json"))
        succeeded, printed = run(sys.executable, "examples/consumer.py", table, position, hour_ago.isoformat())
    assert succeeded, printed
    return sorted(json.loads(line)["type"] for line in printed.splitlines())


class Endpoint(BaseHTTPRequestHandler):
    """An endpoint that events are forwarded to."""

    posts = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posts.append((self.headers, json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def forward(bus):
    """A rule that forwards all events to an endpoint on this machine. The emulation has API destinations, but takes none
    from a template: this one is made as the template's."""
    resources = Path("template.yaml").read_text()
    assert "Value: application/cloudevents+json" in resources and "InputPath: $.detail" in resources
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    events = boto3.client("events")
    header = {"Key": "Content-Type", "Value": "application/cloudevents+json", "IsValueSecret": False}
    connection = events.create_connection(
        Name="forward",
        AuthorizationType="API_KEY",
        AuthParameters={
            "ApiKeyAuthParameters": {"ApiKeyName": "x-api-key", "ApiKeyValue": "secret"},
            "InvocationHttpParameters": {"HeaderParameters": [header]},
        },
    )["ConnectionArn"]
    destination = events.create_api_destination(
        Name="forward",
        ConnectionArn=connection,
        HttpMethod="POST",
        InvocationEndpoint=f"http://127.0.0.1:{server.server_port}/hook",
        InvocationRateLimitPerSecond=50,
    )["ApiDestinationArn"]
    pattern = {"detail": {"specversion": ["1.0"], "originaltype": [{"exists": True}]}}
    events.put_rule(Name="forward", EventBusName=bus, EventPattern=json.dumps(pattern))
    role = "arn:aws:iam::000000000000:role/forward"
    target = {"Id": "forward", "Arn": destination, "RoleArn": role, "InputPath": "$.detail"}
    events.put_targets(Rule="forward", EventBusName=bus, Targets=[target])


def subscribe(bus):
    """The queue of the rule in examples/rules/queue.yaml."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="rules",
        TemplateBody=Path("examples/rules/queue.yaml").read_text(),
        Parameters=[{"ParameterKey": "EventBusName", "ParameterValue": bus}],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="rules", WaiterConfig={"Delay": 1})
    [stack] = cloudformation.describe_stacks(StackName="rules")["Stacks"]
    [output] = stack["Outputs"]
    return output["OutputValue"]


def unsubscribe(bus):
    """Removes the rules: a bus that has any cannot be deleted."""
    events = boto3.client("events")
    events.remove_targets(Rule="forward", EventBusName=bus, Ids=["forward"])
    events.delete_rule(Name="forward", EventBusName=bus)
    boto3.client("cloudformation").delete_stack(StackName="rules")


def received(queue):
    """The bodies of the messages in a queue, which are deleted."""
    sqs = boto3.client("sqs")
    bodies = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def put_event(table, number, **attributes):
    """Stores another event: a copy of a stored deal with another id."""
    item = next(item for item in items(table) if item.get("type", {}).get("S", "").startswith("com.pipedrive.deal."))
    time, _ = item["sk"]["S"].split("#")
    name = f"copy-{number}"
    copy = item | {"id": {"S": name}, "sk": {"S": f"{time}#{name}"}} | attributes
    boto3.client("dynamodb").put_item(TableName=table, Item=copy)
    return copy


def check_relay(outputs, queue, url, shown):
    """Events that were stored are on the bus, and get to the targets of its rules."""
    table, dead = outputs["TableName"], outputs["RelayDeadLetterQueueUrl"]
    stored = [item["id"]["S"] for item in items(table) if item["kind"]["S"] == "event"]
    assert len(stored) == len(PROVIDERS)
    wait_for("the forwarded events", lambda: len(Endpoint.posts) >= len(stored))
    for headers, event in Endpoint.posts:
        assert headers["Content-Type"] == "application/cloudevents+json", headers
        assert headers["x-api-key"] == "secret"
        assert event["id"] in stored and "data" in event, event
    wait_for("the event in the queue", lambda: depth(queue) == 1)
    [event] = received(queue)
    succeeded, printed = run("hookkeeper", "export", "--provider", "pipedrive")
    assert succeeded and [event] == [json.loads(line) for line in printed.splitlines() if line.startswith("{")], printed
    print("a webhook is an event in the queue of a rule, and at a URL, as export prints it")

    latencies = []
    body, content_type = sample("pipedrive")
    for number in range(20):
        event = json.loads(body)
        event["data"]["title"], event["meta"]["id"] = f"deal {number}", f"4ad6a8f7-2b5c-4f0e-9a63-{number:012x}"
        started = time.monotonic()
        assert send(url, shown, json.dumps(event).encode(), content_type) == 200
        while not received(queue):
            assert time.monotonic() < started + 30, "an event does not arrive"
        latencies.append(time.monotonic() - started)
    latencies.sort()
    print(f"from a webhook to its event in a queue: p50 {latencies[10]:.2f} s, max {latencies[-1]:.2f} s")

    put_event(table, 1, channel={"S": "api"})
    put_event(table, 2, channel={"S": "account"})
    wait_for("the event that was not healed", lambda: [it["id"] for it in received(queue)] == ["copy-2"])
    assert "copy-1" in [event["id"] for _, event in Endpoint.posts], "the healed event is not forwarded"
    newer = put_event(table, 3, v={"N": "2"})
    put_event(table, 4)
    wait_for("the event behind an unreadable item", lambda: [it["id"] for it in received(queue)] == ["copy-4"])
    key = {name: newer[name]["S"] for name in ["pk", "sk"]}
    wait_for("the dead letter", lambda: depth(dead) == 1)
    assert failing() == ["expiry", "relay queue"], failing()
    boto3.client("sqs").set_queue_attributes(QueueUrl=dead, Attributes={"VisibilityTimeout": "0"})
    succeeded, printed = run("hookkeeper", "republish", "--dead-letters")
    assert not succeeded and "another version" in printed and depth(dead) == 1, printed
    assert received(dead) == [key | {"id": "copy-3", "reason": "other_version", "code": None}]
    succeeded, printed = run("hookkeeper", "republish", "--since", "1h", "--type", "deal", "--output", "json")
    assert succeeded and "1 item was skipped" in printed, printed
    [published] = [json.loads(line)["published"] for line in printed.splitlines() if line.startswith("{")]
    assert published == 24, printed
    # All but the healed one.
    wait_for("the republished events", lambda: depth(queue) == published - 1)
    received(queue)
    boto3.client("dynamodb").delete_item(TableName=table, Key={name: newer[name] for name in ["pk", "sk"]})
    print(f"{published} events are published again, and what the relay cannot read is in its dead-letter queue")


def check_page(providers):
    """Opens the page over the deployed stack."""
    command = ["hookkeeper", "ui", "--stack", STACK, "--port", "0"]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = page.stdout.readline().split()[-1]
        views = [urllib.request.urlopen(address + path, timeout=60).read().decode() for path in ("", "overview")]
        assert views[0].count('data-testid="event-row"') == len(providers), views[0]
        assert "dead-letter queue" in views[1] and "check" in views[1], views[1]
    finally:
        page.terminate()
        page.wait()
    print("hookkeeper ui shows the events, the queues and the consumers of the stack")


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

    outputs = deployed(**parameters, EventBus="create")
    urls = {provider: outputs[f"{prefix}Url"] for provider, prefix in PREFIXES.items()}
    table, queue, dead = outputs["TableName"], outputs["FallbackQueueUrl"], outputs["DeadLetterQueueUrl"]
    assert outputs["StreamArn"] == boto3.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    assert "No changes to deploy" in deploy(**parameters, EventBus="create")[1]
    print("a second deploy changes nothing")
    allow_batches()
    bus = outputs["EventBusName"]
    events = subscribe(bus)
    forward(bus)

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
    types = sorted(json.loads(line)["type"] for line in printed.splitlines())
    assert consumed(table) == types
    for expected in types, []:
        done = subprocess.run(["hookkeeper", "consume", "check", "--once", "--delay", "0s"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert sorted(json.loads(line)["type"] for line in done.stdout.splitlines()) == expected, done
    print("hookkeeper events, hookkeeper consume and the consumer in Python see the stored events")
    check_page(PROVIDERS)
    assert depth(queue) == 0
    # The emulation forgets the table's TimeToLiveSpecification.
    assert failing() == ["expiry"], failing()
    check_relay(outputs, events, urls["pipedrive"], shown["pipedrive"])
    unsubscribe(bus)

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
    told = json.dumps([logged(name) for name in (*PREFIXES.values(), "Drain", "Relay")]) + json.dumps(outputs)
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


with ministack():
    check()
