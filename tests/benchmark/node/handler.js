// A receiver as it is usually written for Node: SDK v3, bundled by esbuild.
import { ConditionalCheckFailedException, DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";

const client = new DynamoDBClient({});
const expected = "Basic " + Buffer.from(process.env.PEER_CREDENTIALS).toString("base64");

export async function handler(event) {
  if (event.headers?.authorization !== expected) return { statusCode: 401 };
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
  const { meta } = JSON.parse(body);
  const item = { pk: { S: `${meta.entity}/${meta.entity_id}` }, sk: { S: `${meta.timestamp}#${meta.id}` }, data: { S: body } };
  const put = { TableName: process.env.HOOKKEEPER_TABLE, Item: item, ConditionExpression: "attribute_not_exists(pk)" };
  try {
    await client.send(new PutItemCommand(put));
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
  return { statusCode: 200 };
}
