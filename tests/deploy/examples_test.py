"""Runs the programs in examples/ against the receivers and the DynamoDB of `hookkeeper dev`.

    python3 tests/deploy/examples_test.py

Needs boto3, `hookkeeper` and `node` in the PATH, and the packages of tests/node in target/node.
"""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zlib
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
from boto3.dynamodb.conditions import Key

# Node looks for packages beside the program.
JAVASCRIPT = shutil.copy("examples/consumer.mjs", "target/node")
CONSUMERS = {"Python": [sys.executable, "examples/consumer.py"], "JavaScript": ["node", JAVASCRIPT]}
TABLE = "hookkeeper"
MAX_CHUNK_BYTES = 380_000
os.environ |= {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}


@contextmanager
def hookkeeper_dev():
    """The URL of the receivers, with an empty table."""
    command = ["hookkeeper", "dev", "--data", "memory", "--port", "0", "--dynamodb-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dev:
        log = None
        try:
            banner = ""
            while "Press Ctrl-C to stop" not in banner:
                line = dev.stdout.readline()
                assert line, f"hookkeeper dev did not start: {banner}"
                banner += line
            os.environ["AWS_ENDPOINT_URL"] = re.search(r"DynamoDB on (http://127\.0\.0\.1:\d+)", banner)[1]
            # What it logs for each delivery, so that the pipe does not fill.
            log = subprocess.Popen(["cat"], stdin=dev.stdout, stdout=subprocess.DEVNULL)
            yield re.search(r"(http://127\.0\.0\.1:\d+)/pipedrive", banner)[1]
        finally:
            dev.terminate()
            dev.wait()
            if log:
                log.wait()


class Table:
    """The table, to which events are added as the store writes them."""

    def __init__(self):
        self.table = boto3.resource("dynamodb").Table(TABLE)

    def put(self, subject, kept, data=None, shard="0", **attributes):
        """Adds an event that was recorded at a given time. `data` is JSON text."""
        item = self.item(subject, kept, shard) | {"data": data or json.dumps({"of": subject})} | attributes
        self.table.put_item(Item=item)

    def put_large(self, subject, kept, data):
        """Adds one that is too large for an item, and, where it is still too large when compressed, its chunks first."""
        item = self.item(subject, kept, "0")
        compressed = zlib.compress(data.encode())
        if len(compressed) <= MAX_CHUNK_BYTES:
            self.table.put_item(Item=item | {"compressed": compressed})
            return 0
        compressed += zlib.compress(b"the body")
        name = hashlib.sha256(compressed).hexdigest()[:32]
        chunks = [compressed[start : start + MAX_CHUNK_BYTES] for start in range(0, len(compressed), MAX_CHUNK_BYTES)]
        for number, chunk in enumerate(chunks):
            key = {"pk": item["pk"] + "#chunks", "sk": f"{item['sk']}#{name}#{number:04}"}
            self.table.put_item(Item=key | {"kind": "chunk", "v": 1, "compressed": chunk})
        self.table.put_item(Item=item | {"chunks": len(chunks), "chunkhash": name})
        return len(chunks)

    def item(self, subject, kept, shard):
        event = {"source": "pipedrive/7", "subject": subject, "time": text(kept), "id": subject.replace("/", "-")}
        event |= {"type": "com.pipedrive.deal.updated", "originaltype": "change.deal"}
        key = {"pk": f"{event['source']}#{subject}", "sk": f"{event['time']}#{event['id']}"}
        index = {"recordedtime": text(kept), "hourshard": f"{kept:%Y-%m-%dT%H}#{shard}"}
        return event | key | index | {"kind": "event", "v": 1, "arrival": text(kept)}

    def pages(self, hour):
        """How many pages the index has for the first partition of an hour."""
        request = {"IndexName": "by_recordedtime", "KeyConditionExpression": Key("hourshard").eq(f"{hour:%Y-%m-%dT%H}#0")}
        count = 1
        while "LastEvaluatedKey" in (page := self.table.query(**request)):
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            count += 1
        return count

    def item_of(self, subject):
        [item] = self.table.query(KeyConditionExpression=Key("pk").eq(f"pipedrive/7#{subject}"))["Items"]
        return item


class Consumer:
    """A consumer in one of the languages, with a position of its own."""

    def __init__(self, language, folder, first):
        self.command = [*CONSUMERS[language], TABLE, str(Path(folder, "position.json")), text(first)]

    def lines(self, delay=0):
        done = subprocess.run(self.command, capture_output=True, env=os.environ | {"DELAY": str(delay)})
        assert done.returncode == 0, done.stderr.decode()
        # Not splitlines: it takes other characters for line ends too.
        return done.stdout.decode().split("\n")[:-1]

    def events(self):
        return [json.loads(line) for line in self.lines()]

    def subjects(self, delay=0):
        return [json.loads(line)["subject"] for line in self.lines(delay)]


def text(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now():
    return datetime.now(timezone.utc)


def post(url, body, content_type):
    credentials = base64.b64encode(b"local:local").decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": content_type}
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=30) as response:
        assert response.status == 200, response.status


def hookkeeper(*arguments):
    """What a command prints."""
    port = os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1]
    command = ["hookkeeper", *arguments, f"--local={port}"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def deal(number, **data):
    """A body of Pipedrive's."""
    meta = {"version": "2.0", "action": "change", "entity": "deal", "entity_id": str(number), "company_id": "7"}
    meta |= {"id": f"4ad6a8f7-2b5c-4f0e-9a63-{number:012}", "timestamp": "2026-11-21T10:00:00.000Z"}
    return {"meta": meta, "data": {"id": number} | data, "previous": {}}


def noise(size):
    """Text that zlib cannot make much smaller."""
    return base64.b64encode(random.Random(1).randbytes(size * 3 // 4)).decode()


def what_is_received(url, table, folder, language):
    """Deliveries are printed as `hookkeeper export` prints them, also one of 3 MB."""
    consumer = Consumer(language, folder, now() - timedelta(minutes=10))
    post(f"{url}/pipedrive", json.dumps(deal(1, title="Zażółć \u2028 \U0001f600", value=1), ensure_ascii=False), "application/json")
    post(f"{url}/pipedrive", json.dumps(deal(2, note="large " * 500_000)), "application/json")
    form = "&".join(f"leads[status][{n}][id]={n}&leads[status][{n}][status_id]=143" for n in range(2))
    post(f"{url}/amocrm", f"{form}&account[id]=1001", "application/x-www-form-urlencoded")
    assert "compressed" in table.item_of("deal/2"), "the large event is not compressed"
    exported = hookkeeper("export", "--since", "1h")
    printed = consumer.events()
    assert printed == [json.loads(line) for line in exported.splitlines()], printed
    assert len(printed) == 4 and len(printed[1]["data"]["data"]["note"]) == 3_000_000, len(printed)

    # Numbers that a parser would change, and line breaks between the tokens.
    exact = json.dumps(deal(3, value="VALUE"), indent=1).replace("\n", "\r\n").replace('"VALUE"', "0.10000000000000000001e400")
    post(f"{url}/pipedrive", exact, "application/json")
    [line] = consumer.lines()
    assert line.endswith('"data": ' + exact.replace("\r\n", "  ") + "}"), line
    assert consumer.lines() == []
    return "deliveries are printed as they are exported, a compressed one too, and one per line"


def what_is_in_chunks(url, table, folder, language):
    """An event that is too large for one item even when it is compressed."""
    kept = now() - timedelta(minutes=5)
    note = noise(2_000_000)
    assert table.put_large("deal/10", kept, json.dumps({"note": "small"})) == 0
    assert table.put_large("deal/11", kept + timedelta(seconds=1), json.dumps({"note": note})) >= 4
    events = Consumer(language, folder, kept).events()
    assert [event["data"]["note"] == expected for event, expected in zip(events, ["small", note], strict=True)] == [True, True]
    return "an event in chunks is put together"


def what_is_on_several_pages(url, table, folder, language):
    """More than a page of the index in one partition, beside the others, and all in the order of recording."""
    hour = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    expected = []
    for number in range(60):
        subject = f"deal/{number + 100}"
        large = {"type": "x" * 40_000} if number % 2 else {}
        table.put(subject, hour + timedelta(seconds=number), shard="0" if number % 2 else f"{number % 16:x}", **large)
        expected.append(subject)
    assert table.pages(hour) > 1, "one page is enough"
    assert Consumer(language, folder, hour).subjects()[:60] == expected
    return "events on several pages are printed in the order of recording"


def what_was_recorded_in_earlier_hours(url, table, folder, language):
    """Events of earlier hours come first; what is before the first time does not come."""
    start = now() - timedelta(hours=30)
    ages = [timedelta(), timedelta(hours=1), timedelta(hours=1, microseconds=1), timedelta(hours=5), timedelta(hours=20)]
    for number, age in enumerate(ages):
        table.put(f"deal/{number + 200}", start + age, shard=f"{15 - number:x}")
    table.put("deal/299", start - timedelta(seconds=1))
    expired = {"expires": int((now() - timedelta(seconds=1)).timestamp())}
    table.put("deal/298", start + timedelta(hours=2), **expired)
    assert Consumer(language, folder, start).subjects()[: len(ages)] == [f"deal/{number + 200}" for number in range(len(ages))]
    return "events of earlier hours are printed"


def what_comes_between_two_runs(url, table, folder, language):
    """A later run prints what is new, and what appeared late, once."""
    consumer = Consumer(language, folder, now() - timedelta(minutes=2))
    table.put("deal/300", now() - timedelta(seconds=70))
    table.put("deal/301", now() - timedelta(seconds=50))
    assert consumer.subjects(delay=60) == ["deal/300"], "an event is printed before all others must be in the index"
    table.put("deal/302", now() - timedelta(seconds=55))  # appears in the index 55 seconds after its `recordedtime`
    table.put("deal/303", now() - timedelta(seconds=1))
    assert consumer.subjects() == ["deal/302", "deal/301", "deal/303"]
    # A replay changes an event, and not the time at which it was recorded.
    table.table.put_item(Item=table.item_of("deal/303") | {"data": "{}"})
    assert consumer.subjects() == []
    return "a later run prints what is new or late, once"


def what_is_recorded_at_one_time(url, table, folder, language):
    """Events of one delivery can be recorded at the same time. A run that ends between them loses none."""
    kept = now() - timedelta(minutes=4)
    subjects = sorted(f"deal/{number}" for number in range(500, 540))
    for number, subject in enumerate(random.Random(1).sample(subjects, len(subjects))):
        table.put(subject, kept, json.dumps({"note": noise(100_000)}), shard=f"{number % 2}")
    consumer = Consumer(language, folder, kept)
    with subprocess.Popen(consumer.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        read = [json.loads(running.stdout.readline())["subject"] for _ in range(3)]
        running.stdout.close()
    assert read == subjects[:3], read
    assert [subject for subject in consumer.subjects() if subject in subjects[3:]] == subjects[3:]
    return "events that were recorded at one time are not lost when a run ends between them"


def what_this_version_cannot_read(url, table, folder, language):
    """An item of another version ends the consumer: passing it would lose an event."""
    kept = now() - timedelta(minutes=4)
    table.put("deal/600", kept)
    table.put("deal/601", kept + timedelta(seconds=1), v=2)
    table.put("deal/602", kept + timedelta(seconds=2), removing=True)
    consumer = Consumer(language, folder, kept)
    for expected in ["deal/600"], []:
        done = subprocess.run(consumer.command, capture_output=True)
        assert done.returncode != 0 and b"another version" in done.stderr, done
        assert [json.loads(line)["subject"] for line in done.stdout.splitlines()] == expected
    table.table.delete_item(Key={name: table.item_of("deal/601")[name] for name in ("pk", "sk")})
    assert consumer.subjects() == [], "an item that is being removed is printed"
    return "an item of another version ends the consumer"


def what_an_interrupted_run_leaves(url, table, folder, language):
    """Whoever reads the lines goes away in between: the next run prints all that was not read."""
    kept = now() - timedelta(minutes=4)
    expected = [f"deal/{number + 400}" for number in range(20)]
    for number, subject in enumerate(expected):
        table.put(subject, kept + timedelta(milliseconds=number), json.dumps({"note": noise(100_000)}))
    consumer = Consumer(language, folder, kept)
    with subprocess.Popen(consumer.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        read = [json.loads(running.stdout.readline())["subject"] for _ in range(3)]
        running.stdout.close()
    assert running.returncode != 0 and read == expected[:3], (running.returncode, read)
    assert [subject for subject in consumer.subjects() if subject in expected[3:]] == expected[3:]
    assert consumer.subjects() == []
    return "an interrupted run loses nothing"


def key(item):
    return item["pk"], item["sk"]


def what_a_restore_copies(url, table, folder):
    """What is missing, but nothing that was erased after it had arrived, or that was being removed."""
    for number in range(1, 6):
        post(f"{url}/pipedrive", json.dumps(deal(number, note=noise(700_000) if number > 3 else "")), "application/json")
    form = "&".join(f"contacts[add][{n}][id]={n}&contacts[add][{n}][updated_at]=1795255200" for n in range(2))
    post(f"{url}/amocrm", f"{form}&account[id]=1001", "application/x-www-form-urlencoded")
    backup = boto3.resource("dynamodb").create_table(
        TableName="restored",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    stored = table.table.scan()["Items"]
    erased, unchanged = table.item_of("deal/2"), table.item_of("deal/1")
    half_removed = table.item_of("deal/5")
    later = text(now() + timedelta(days=1))
    copied = [erased | {"sk": f"{erased['time']}#later", "arrival": later}, {"pk": "foreign", "sk": "item"}]
    of_erased = [item for item in stored if item.get("subject") in ("deal/2", "deal/4", "contact/0")]
    moved = [item | {"sk": f"{item['time']}#moved"} for item in of_erased]
    for item in [*stored, *copied, *moved, half_removed | {"removing": True}]:
        backup.put_item(Item=item)
    hookkeeper("erase", "--source", "pipedrive/7", "--subject", "deal/2", "--yes")
    hookkeeper("erase", "--source", "pipedrive", "--subject", "deal/4", "--yes")
    hookkeeper("erase", "--subject", "contact/0", "--yes")
    left = table.table.scan()["Items"]
    for item in left:
        if item["kind"] != "erasure":
            table.table.delete_item(Key={name: item[name] for name in ("pk", "sk")})
    table.table.put_item(Item=unchanged | {"data": "{}"})
    subprocess.run([sys.executable, "examples/restore_table.py", "restored", TABLE], check=True)
    restored = table.table.scan()["Items"]
    of_removed = half_removed["pk"], half_removed["pk"] + "#chunks"
    expected = {key(item) for item in [*left, *copied] if item["pk"] not in of_removed}
    assert {key(item) for item in restored} == expected, {key(item) for item in restored} ^ expected
    assert table.item_of("deal/1")["data"] == "{}", "an item is overwritten"
    return "a restore copies neither what was erased nor what was being removed"


CASES = [
    what_is_received,
    what_is_in_chunks,
    what_is_on_several_pages,
    what_was_recorded_in_earlier_hours,
    what_comes_between_two_runs,
    what_is_recorded_at_one_time,
    what_this_version_cannot_read,
    what_an_interrupted_run_leaves,
]


def check():
    runs = [(case, (language,)) for case in CASES for language in CONSUMERS]
    failed = 0
    for case, language in [*runs, (what_a_restore_copies, ())]:
        # Each run has a table of its own.
        with tempfile.TemporaryDirectory() as folder, hookkeeper_dev() as url:
            try:
                print(*language, case(url, Table(), folder, *language))
            except Exception as error:
                failed += 1
                print(f"FAILED {case.__name__} {language}: {type(error).__name__} {str(error)[-500:]}")
    return failed


sys.exit(check())
