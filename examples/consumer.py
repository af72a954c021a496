# Prints the events that Hookkeeper stored since the last run, as CloudEvents: one JSON object per line.
# python3 consumer.py TABLE position.json 2026-11-21T10:00:00Z
import json, math, os, sys, time, zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
import boto3
from boto3.dynamodb.conditions import Key
NAMES = "id source type subject time dataschema originaltype apiversion channel eventid timeproblem".split()
DELAY = timedelta(seconds=int(os.environ.get("DELAY", 60)))  # After this time, every event is in the index.
table = boto3.resource("dynamodb").Table(sys.argv[1])
sys.stdout.reconfigure(encoding="utf-8")
text = lambda when: when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
def query(condition, **more):
    pages = table.meta.client.get_paginator("query").paginate(TableName=table.name, KeyConditionExpression=condition, **more)
    return [item for page in pages for item in page["Items"]]
def positions(position, until):  # Each is [recordedtime, pk, sk], in this order. The index has 16 shards per hour.
    hour, end = (datetime.fromisoformat(time[:13] + ":00") for time in (position[0], until))
    while hour <= end and position[0] < until:
        shards = [Key("hourshard").eq(f"{hour:%Y-%m-%dT%H}#{shard:x}") for shard in range(16)]
        span = Key("recordedtime").between(position[0], until)
        found = [entry for shard in shards for entry in query(shard & span, IndexName="by_recordedtime")]
        yield from (entry for entry in sorted([e["recordedtime"], e["pk"], e["sk"]] for e in found) if entry > position)
        hour += timedelta(hours=1)
def data(item):  # The JSON text. A large one is compressed; a very large one is in chunks, before the body.
    chunks = [item]
    if "chunkhash" in item:
        chunks = query(Key("pk").eq(item["pk"] + "#chunks") & Key("sk").begins_with(f"{item['sk']}#{item['chunkhash']}#"), ConsistentRead=True)
    return item.get("data") or zlib.decompressobj().decompress(b"".join(bytes(c["compressed"]) for c in chunks)).decode()
path, first = Path(sys.argv[2]), text(datetime.fromisoformat(sys.argv[3].replace("Z", "+00:00")))
saved = json.loads(path.read_text()) if path.exists() else [first, "", ""]
for position in positions(saved, text(datetime.now(timezone.utc) - DELAY)):
    item = table.get_item(Key={"pk": position[1], "sk": position[2]}, ConsistentRead=True).get("Item")
    if item and item["v"] != 1:
        sys.exit(f"{position} is of another version of Hookkeeper")
    if item and "removing" not in item and item.get("expires", math.inf) > time.time():
        event = {"specversion": "1.0", "datacontenttype": "application/json"} | {name: item[name] for name in NAMES if name in item}
        print(json.dumps(event)[:-1] + ', "data": ' + data(item).translate({10: " ", 13: " "}) + "}", flush=True)  # Handle it here.
    Path(f"{path}.new").write_text(json.dumps(position))
    Path(f"{path}.new").replace(path)
