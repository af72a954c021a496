"""A receiver as it is usually written in Python, with boto3, and the loop that Lambda's runtime runs, with less in it."""

import base64
import http.client
import json
import os

import boto3

client = boto3.client("dynamodb", endpoint_url=os.environ.get("AWS_ENDPOINT_URL_DYNAMODB"))
expected = "Basic " + base64.b64encode(os.environ["PEER_CREDENTIALS"].encode()).decode()


def handler(event):
    if event["headers"].get("authorization") != expected:
        return {"statusCode": 401}
    body = base64.b64decode(event["body"]).decode() if event.get("isBase64Encoded") else event["body"]
    meta = json.loads(body)["meta"]
    item = {"pk": f"{meta['entity']}/{meta['entity_id']}", "sk": f"{meta['timestamp']}#{meta['id']}", "data": body}
    try:
        client.put_item(
            TableName=os.environ["HOOKKEEPER_TABLE"],
            Item={name: {"S": value} for name, value in item.items()},
            ConditionExpression="attribute_not_exists(pk)",
        )
    except client.exceptions.ConditionalCheckFailedException:
        pass
    return {"statusCode": 200}


def main():
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        response = api.getresponse()
        request_id, event = response.headers["lambda-runtime-aws-request-id"], json.loads(response.read())
        api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(handler(event)))
        api.getresponse().read()


main()
