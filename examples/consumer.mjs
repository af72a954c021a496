// Prints the events that Hookkeeper stored since the last run, as CloudEvents: one JSON object per line.
// node consumer.mjs TABLE position.json 2026-11-21T10:00:00Z
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { inflateSync } from "node:zlib";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, GetCommand, paginateQuery } from "@aws-sdk/lib-dynamodb";
const [TableName, path, first] = process.argv.slice(2);
const NAMES = "specversion datacontenttype id source type subject time dataschema originaltype apiversion channel eventid timeproblem".split(" ");
const DELAY = 1000 * (process.env.DELAY ?? 60); // After this time, every event is in the index.
const client = DynamoDBDocumentClient.from(new DynamoDBClient());
const print = promisify(process.stdout.write.bind(process.stdout));
const text = (time) => new Date(time).toISOString().replace("Z", "000Z");
const compare = (a, b) => Buffer.compare(Buffer.from(a.join("\0")), Buffer.from(b.join("\0")));
async function query(KeyConditionExpression, values, more) {
  const items = [];
  for await (const page of paginateQuery({ client }, { TableName, KeyConditionExpression, ExpressionAttributeValues: values, ...more })) items.push(...page.Items);
  return items;
}
async function* positions(position, until) { // Each is [recordedtime, pk, sk], in this order. The index has 16 shards per hour.
  for (let hour = Date.parse(position[0].slice(0, 13) + ":00Z"); position[0] < until && hour <= Date.parse(until); hour += 3_600_000) {
    const values = [..."0123456789abcdef"].map((shard) => ({ ":shard": `${text(hour).slice(0, 13)}#${shard}`, ":since": position[0], ":until": until }));
    const found = await Promise.all(values.map((values) => query("hourshard = :shard AND recordedtime BETWEEN :since AND :until", values, { IndexName: "by_recordedtime" })));
    yield* found.flat().map((entry) => [entry.recordedtime, entry.pk, entry.sk]).sort(compare).filter((entry) => compare(entry, position) > 0);
  }
}
async function data(item) { // The JSON text. A large one is compressed; a very large one is in chunks, before the body.
  const chunks = item.chunkhash ? await query("pk = :pk AND begins_with(sk, :sk)", { ":pk": item.pk + "#chunks", ":sk": `${item.sk}#${item.chunkhash}#` }, { ConsistentRead: true }) : [item];
  return item.data ?? inflateSync(Buffer.concat(chunks.map((chunk) => chunk.compressed))).toString();
}
for await (const position of positions(existsSync(path) ? JSON.parse(readFileSync(path)) : [text(first), "", ""], text(Date.now() - DELAY))) {
  const { Item: item } = await client.send(new GetCommand({ TableName, Key: { pk: position[1], sk: position[2] }, ConsistentRead: true }));
  if (item && item.v !== 1) throw new Error(`${position} is of another version of Hookkeeper`);
  const event = JSON.stringify({ specversion: "1.0", ...item, datacontenttype: "application/json" }, NAMES);
  if (item && !item.removing && !(item.expires <= Date.now() / 1000)) await print(`${event.slice(0, -1)}, "data": ${(await data(item)).replace(/[\r\n]/g, " ")}}\n`); // Handle it here.
  writeFileSync(path + ".new", JSON.stringify(position));
  renameSync(path + ".new", path);
}
