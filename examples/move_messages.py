"""Moves the messages of one SQS queue into another one.

    python3 move_messages.py <URL of the old queue> <URL of the new queue>

A message is deleted from the old queue after the new one has it. It ends when the old queue has had nothing for 20 seconds.
"""

import sys

import boto3

old, new = sys.argv[1:]
sqs = boto3.client("sqs")
moved = 0
while messages := sqs.receive_message(QueueUrl=old, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages"):
    for message in messages:
        sqs.send_message(QueueUrl=new, MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=old, ReceiptHandle=message["ReceiptHandle"])
        moved += 1
print(f"{moved} moved")
