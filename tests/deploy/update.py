"""Updates a stack from a release to the next one and back on an emulation of AWS, while webhooks arrive, messages wait in
the fallback queue and consumers read: nothing is rejected, lost or stored twice.

    python update.py <folder of the previous release> <folder of the release>
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
from emulation import (
    allow_batches,
    credentials,
    deploy_with_aws,
    depth,
    items,
    ministack,
    outputs,
    run,
    sample,
    send,
    wait_for,
    without_build_tools,
)

# The consumers read up to this long ago.
DELAY = 2


class Load(threading.Thread):
    """Sends a webhook of another deal every 50 ms, and sends it again if it gets a 502.

    AWS lets a request end before it replaces the function. The emulation ends the function, and answers with 502.
    """

    def __init__(self, url, shown):
        super().__init__(daemon=True)
        self.url, self.shown, self.statuses, self.again, self.ended = url, shown, [], 0, threading.Event()

    def run(self):
        body, content_type = sample("pipedrive")
        while not self.ended.wait(0.05):
            event, number = json.loads(body), len(self.statuses)
            event["data"]["title"], event["meta"]["id"] = f"deal {number}", f"4ad6a8f7-2b5c-4f0e-9a63-{number:012x}"
            request = self.url, self.shown, json.dumps(event).encode(), content_type
            status = send(*request)
            if status == 502:
                self.again += 1
                status = send(*request)
            self.statuses.append(status)

    def send_more(self, count):
        until = len(self.statuses) + count
        wait_for(f"{count} deliveries", lambda: len(self.statuses) >= until)


def drain():
    """The mapping that gives the messages of the fallback queue to the drain."""
    [mapping] = [it for it in boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"] if ":sqs:" in it["EventSourceArn"]]
    return mapping["UUID"]


@contextmanager
def outage():
    """The receivers may not write to the table."""
    iam = boto3.client("iam")
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "dynamodb:PutItem", "Resource": "*"}]}
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if "PipedriveRole" in role["RoleName"]]
    for role in roles:
        iam.put_role_policy(RoleName=role, PolicyName="outage", PolicyDocument=json.dumps(deny))
    yield
    for role in roles:
        iam.delete_role_policy(RoleName=role, PolicyName="outage")


def leave_messages(load, queue):
    """Deliveries wait in the fallback queue, and no drain reads it."""
    boto3.client("lambda").update_event_source_mapping(UUID=drain(), Enabled=False)
    with outage():
        wait_for("messages in the fallback queue", lambda: depth(queue) >= 10)
    load.send_more(5)
    return depth(queue)


def drained(queue):
    boto3.client("lambda").update_event_source_mapping(UUID=drain(), Enabled=True)
    wait_for("the end of the fallback queue", lambda: depth(queue) == 0)


def titles(deliveries):
    return [delivery["data"]["title"] for delivery in deliveries]


class Consumers:
    """The consumer in Python, and `hookkeeper consume`, which keep their positions."""

    def __init__(self, table, folder):
        begin = (datetime.now(timezone.utc) - timedelta(minutes=1)).isoformat()
        self.python = [sys.executable, "examples/consumer.py", table, str(Path(folder, "position.json")), begin]
        self.consume = ["consume", "crm", "--once", "--delay", f"{DELAY}s"]
        self.read = {"consumer.py": [], "consume": []}

    def run(self, release):
        os.environ["DELAY"] = str(DELAY)
        commands = {"consumer.py": self.python}
        if run(f"{release}/hookkeeper", "consume", "--help")[0]:
            commands["consume"] = [f"{release}/hookkeeper", *self.consume]
        for name, command in commands.items():
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            self.read[name] += titles(json.loads(line)["data"] for line in done.stdout.splitlines())


def check(previous, release, folder):
    shown, parameters = credentials("pipedrive")
    boto3.client("s3").create_bucket(Bucket="code")
    environment = without_build_tools(folder)
    deploy_with_aws(previous, environment, *(f"{name}={value}" for name, value in parameters.items()))
    allow_batches()
    there = outputs()
    table, queue, dead = there["TableName"], there["FallbackQueueUrl"], there["DeadLetterQueueUrl"]
    # What the drain leaves is received again after 180 s, here after 2 s.
    boto3.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "2"})
    consumers = Consumers(table, folder)
    load = Load(there["PipedriveUrl"], shown)
    load.start()
    load.send_more(20)
    assert send(there["PipedriveUrl"], shown, b'{"meta": {', "application/json") == 200
    consumers.run(previous)
    waiting = leave_messages(load, queue)
    print(f"the previous release: {len(load.statuses)} deliveries, {waiting} of them in the fallback queue")

    started, before = time.monotonic(), len(load.statuses)
    deploy = [f"{release}/hookkeeper", "deploy", "--from", str(release), "--yes", "--output", "json", "--set", "EnforceTls=false"]
    succeeded, printed = run(*deploy)
    assert succeeded, printed
    print(f"the update: {time.monotonic() - started:.1f} s, {len(load.statuses) - before} deliveries meanwhile")
    assert outputs()["TableName"] == table and outputs()["PipedriveUrl"] == there["PipedriveUrl"]
    load.send_more(20)
    drained(queue)
    consumers.run(release)
    succeeded, printed = run(f"{release}/hookkeeper", "quarantine", "--output", "json")
    assert succeeded and "is not JSON" in printed, printed
    print("the next release drains what the previous one had queued, reads its quarantine, and consumers go on")

    waiting = leave_messages(load, queue)
    started, before = time.monotonic(), len(load.statuses)
    deploy_with_aws(previous, environment)
    print(f"the way back: {time.monotonic() - started:.1f} s, {len(load.statuses) - before} deliveries meanwhile")
    load.send_more(20)
    drained(queue)
    print(f"the previous release drains {waiting} messages of the next one")
    load.ended.set()
    load.join()
    time.sleep(DELAY + 1)
    consumers.run(previous)
    consumers.run(release)

    sent = [f"deal {number}" for number in range(len(load.statuses))]
    assert Counter(load.statuses) == {200: len(sent)} and load.again <= 2, (Counter(load.statuses), load.again)
    events = [item for item in items(table) if item["kind"]["S"] == "event"]
    stored = titles(json.loads(item["data"]["S"]) for item in events)
    assert sorted(stored) == sorted(sent), set(sent) ^ set(stored)
    for name, read in consumers.read.items():
        assert sorted(read) == sorted(sent), f"{name}: {Counter(read) - Counter(sent)}, {Counter(sent) - Counter(read)}"
    assert depth(dead) == 0
    print(f"{len(sent)} deliveries, {load.again} of them sent twice: all answered 200, stored once, read once by each consumer")


with TemporaryDirectory() as folder, ministack():
    check(*(Path(argument).resolve() for argument in sys.argv[1:3]), folder)
