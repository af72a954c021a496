"""Prints the events that Hookkeeper stored, in the order of recording, as CloudEvents: one JSON object per line.

    python3 consumer.py <TableName> position.json 2026-11-21T10:00:00Z

The first run begins at the given time. It saves in position.json where it ended, and the next run begins there.
Run it again every few seconds. A run that is interrupted may print some events again the next time.
"""

import heapq, json, math, os, sys, time, zlib
from datetime import datetime, timedelta, timezone

import boto3
from boto3.dynamodb.conditions import Key

ATTRIBUTES = "id source type subject time originaltype apiversion channel eventid timeproblem".split()
OVERLAP = timedelta(minutes=1)  # An event can appear in the index some seconds after its `recordedtime`.


def query(**request):
    while True:
        page = table.query(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def text(when):
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def recorded(hour, since, end):
    """The keys of the events of an hour, oldest first. The index has 16 partitions for it, each in this order."""
    partitions = [Key("hourshard").eq(f"{hour:%Y-%m-%dT%H}#{shard:x}") for shard in range(16)]
    span = Key("recordedtime").between(text(since), text(end))
    queries = [query(IndexName="by_recordedtime", KeyConditionExpression=partition & span) for partition in partitions]
    for entry in heapq.merge(*queries, key=lambda entry: entry["recordedtime"]):
        yield entry["recordedtime"], entry["pk"], entry["sk"]


def data(item):
    """The data as JSON text. A large one is compressed; a very large one is in chunks, and the exact body is behind it."""
    if "data" in item:
        return item["data"]
    chunks = [item]
    if "chunkhash" in item:
        order = Key("sk").begins_with(f"{item['sk']}#{item['chunkhash']}#")
        chunks = query(KeyConditionExpression=Key("pk").eq(item["pk"] + "#chunks") & order, ConsistentRead=True)
    compressed = b"".join(bytes(chunk["compressed"]) for chunk in chunks)
    return zlib.decompressobj().decompress(compressed).decode()


def cloud_event(item):
    """One line. The data is copied as it is, so that no number changes; line breaks in JSON text are only white space."""
    event = {"specversion": "1.0", "datacontenttype": "application/json"}
    event |= {name: item[name] for name in ATTRIBUTES if name in item}
    return json.dumps(event)[:-1] + ', "data": ' + data(item).replace("\r", " ").replace("\n", " ") + "}"


def consume(path, first):
    saved = json.load(open(path)) if os.path.exists(path) else {"since": first, "seen": []}
    since = datetime.fromisoformat(saved["since"].replace("Z", "+00:00")).astimezone(timezone.utc)
    seen = {tuple(entry) for entry in saved["seen"]}
    end = max(since, datetime.now(timezone.utc))
    hour = since.replace(minute=0, second=0, microsecond=0)
    while hour <= end:
        for entry in recorded(hour, since, end):
            if entry not in seen:
                item = table.get_item(Key={"pk": entry[1], "sk": entry[2]}, ConsistentRead=True).get("Item")
                if item and "removing" not in item and item.get("expires", math.inf) > time.time():
                    print(cloud_event(item))
                seen.add(entry)
        hour += timedelta(hours=1)
        next_since = text(max(since, min(hour, end) - OVERLAP))
        seen = {entry for entry in seen if entry[0] >= next_since}
        sys.stdout.flush()
        with open(path + ".new", "w") as file:
            json.dump({"since": next_since, "seen": sorted(seen)}, file)
        os.replace(path + ".new", path)


if __name__ == "__main__":
    table = boto3.resource("dynamodb").Table(sys.argv[1])
    sys.stdout.reconfigure(encoding="utf-8")
    consume(*sys.argv[2:])
