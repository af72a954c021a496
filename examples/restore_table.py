"""Copies the items that a table lacks from a restored one, except those that were erased since:

    python3 restore_table.py <restored table> <TableName>

Nothing that exists is overwritten. Run it again after an interruption.
"""

import hashlib
import sys

import boto3

source, target = sys.argv[1:]
dynamodb = boto3.client("dynamodb")


def scan(table, **how):
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True, **how):
        yield from page["Items"]


def head(item):
    """The item itself, or the one that a chunk belongs to. Empty if that is missing."""
    if item.get("kind") != {"S": "chunk"}:
        return item
    pk, sk = item["pk"]["S"].removesuffix("#chunks"), item["sk"]["S"].rsplit("#", 2)[0]
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    return dynamodb.get_item(TableName=source, Key=key, ConsistentRead=True).get("Item", {})


def trace(kind, *parts):
    """The sort key that an erasure has."""
    parts = [part.encode() for part in parts]
    hashed = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return f"{kind}#{hashlib.sha256(hashed).hexdigest()[:32]}"


def traces(item):
    """The sort keys of all erasures that an item can be of."""
    yield trace("record", item["pk"]["S"], item["sk"]["S"])
    if item.get("kind") == {"S": "event"}:
        account, subject = item["source"]["S"], item["subject"]["S"]
        for erased_in in account, account.split("/")[0], "":
            yield trace("subject", erased_in, subject)


def erasures():
    """When each record and subject was erased last, by the sort key."""
    times = {}
    kind = {":erasure": {"S": "erasure"}}
    for item in scan(target, FilterExpression="kind = :erasure", ExpressionAttributeValues=kind):
        sk, time = item["sk"]["S"], item["erasedtime"]["S"]
        times[sk] = max(time, times.get(sk, time))
    return times


def is_erased(item, times):
    arrival = item.get("arrival", {"S": ""})["S"]
    return any(sk in times and arrival <= times[sk] for sk in traces(item))


times = erasures()
for item in scan(source):
    owner = head(item)
    if not owner or "removing" in owner or is_erased(owner, times):
        continue
    try:
        dynamodb.put_item(TableName=target, Item=item, ConditionExpression="attribute_not_exists(pk)")
    except dynamodb.exceptions.ConditionalCheckFailedException:
        pass
