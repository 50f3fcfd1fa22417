// Checks the requests to the tests' GitHub and its answers against GitHub's own description of its API, and its push
// payloads against the description and against real examples. The argument is the folder in which the tests recorded
// their exchanges.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const load = createRequire(import.meta.url);
const Ajv = load("ajv").default;
const addFormats = load("ajv-formats").default;

// Statuses that the documentation describes for all requests, and the description not for each operation:
// https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
const ANYWHERE = ["304", "401", "403", "404"];
// These statuses report an invalid request; every other request must be valid.
const ABOUT_THE_REQUEST = [400, 422];

const description = load("@octokit/openapi/generated/api.github.com.deref.json");
const ajv = new Ajv({ strict: false, allErrors: true, logger: false });
addFormats(ajv);
const compiled = new Map();

/// OpenAPI 3.0 says `nullable` where JSON Schema has a type `null`.
function asJsonSchema(schema) {
  if (Array.isArray(schema)) return schema.map(asJsonSchema);
  if (schema === null || typeof schema !== "object") return schema;
  const { nullable, example, examples, ...rest } = schema;
  const entries = Object.entries(rest).map(([key, value]) => [key, asJsonSchema(value)]);
  const changed = Object.fromEntries(entries);
  return nullable === true ? { anyOf: [{ type: "null" }, changed] } : changed;
}

/// The description's alternatives for refusals have no required members, so that a refusal may match several.
function anyOfThem({ oneOf, ...rest }) {
  return oneOf ? { ...rest, anyOf: oneOf } : rest;
}

/// A value's violations of a schema, as lines.
function violations(schema, value) {
  if (!compiled.has(schema)) compiled.set(schema, ajv.compile(asJsonSchema(schema)));
  const validate = compiled.get(schema);
  if (validate(value)) return [];
  const lines = validate.errors.map(
    (error) => `${error.instancePath || "/"} ${error.message} ${JSON.stringify(error.params)}`,
  );
  return [...new Set(lines)].slice(0, 8);
}

/// Every operation, with a pattern for its paths; those with the most literal text first.
function operations() {
  const found = [];
  for (const [template, methods] of Object.entries(description.paths)) {
    if (template.endsWith("/compare/{base}...{head}")) continue; // the same as {basehead}, older
    for (const [method, operation] of Object.entries(methods)) {
      const parameters = operation.parameters ?? [];
      const names = [];
      const pattern = template.replace(/\{(\w+)\}|[.*+?^$()[\]\\]/g, (text, name) => {
        if (!name) return `\\${text}`;
        names.push(name);
        const parameter = parameters.find((one) => one.in === "path" && one.name === name);
        return parameter?.["x-multi-segment"] ? "(.+)" : "([^/]+)";
      });
      const name = `${method.toUpperCase()} ${template}`;
      const fixed = template.replace(/\{\w+\}/g, "").length;
      found.push({ name, method, operation, parameters, names, fixed, pattern: new RegExp(`^${pattern}$`) });
    }
  }
  return found.sort((a, b) => b.fixed - a.fixed);
}

const all = operations();
const basicError =
  description.paths["/repos/{owner}/{repo}"].get.responses["404"].content["application/json"].schema;

const refusals = new Map();

/// A refusal's schema, requiring the members that GitHub always sends.
function refusal(schema) {
  if (!refusals.has(schema)) {
    refusals.set(schema, { ...anyOfThem(schema), required: ["message", "documentation_url"] });
  }
  return refusals.get(schema);
}

function checkParameters(found, exchange) {
  const wrong = [];
  const values = found.pattern.exec(exchange.path).slice(1).map(decodeURIComponent);
  const given = [
    ...found.names.map((name, at) => ["path", name, values[at]]),
    ...exchange.query.map(([name, value]) => ["query", name, value]),
  ];
  for (const [where, name, text] of given) {
    const parameter = found.parameters.find((one) => one.in === where && one.name === name);
    if (!parameter) {
      wrong.push(`${where} parameter ${name} isn't in the description`);
      continue;
    }
    const { type } = parameter.schema;
    const value = type === "integer" ? Number(text) : type === "boolean" ? text === "true" : text;
    wrong.push(...violations(parameter.schema, value).map((line) => `${where} ${name}: ${line}`));
  }
  return wrong;
}

function checkRequest(found, exchange) {
  if (ABOUT_THE_REQUEST.includes(exchange.status)) return [];
  const body = found.operation.requestBody;
  if (!body) return exchange.request === null ? [] : ["a request with a body that has none"];
  if (exchange.request === null && !body.required) return [];
  const { schema } = body.content["application/json"];
  const known = Object.keys(schema.properties ?? {});
  const unknown = Object.keys(exchange.request ?? {}).filter((name) => !known.includes(name));
  return [
    ...violations(schema, exchange.request).map((line) => `request ${line}`),
    ...unknown.map((name) => `request member ${name} isn't in the description`),
  ];
}

function checkAnswer(found, exchange) {
  const status = String(exchange.status);
  const described = found.operation.responses[status];
  if (!described && !ANYWHERE.includes(status)) return [`status ${status} isn't in the description`];
  if (!exchange.json) return [];
  const content = described?.content?.["application/json"];
  if (described && exchange.status < 300 && !content) return ["an answer with a body that has none"];
  if (exchange.status < 400) return violations(content.schema, exchange.answer).map((line) => `answer ${line}`);
  return violations(refusal(content?.schema ?? basicError), exchange.answer).map((line) => `answer ${line}`);
}

/// The members that all of these objects have, recursively.
function common(values) {
  if (!values.every((value) => value && typeof value === "object" && !Array.isArray(value))) return {};
  const names = Object.keys(values[0]).filter((name) => values.every((value) => name in value));
  return Object.fromEntries(names.map((name) => [name, common(values.map((value) => value[name]))]));
}

function missing(members, value, path = "") {
  if (value === null) return [];
  return Object.entries(members).flatMap(([name, below]) =>
    name in value ? missing(below, value[name], `${path}/${name}`) : [`${path}/${name} is in every example`],
  );
}

const push = description["x-webhooks"].push.post.requestBody.content["application/json"].schema;
const examples = load("@octokit/webhooks-examples");
const inEveryPush = common(examples.find((one) => one.name === "push").examples);

function check(exchange) {
  if (exchange.event) {
    const { payload } = exchange;
    return ["delivery of a push", [...violations(push, payload), ...missing(inEveryPush, payload)]];
  }
  const found = all.find(
    (one) => one.method === exchange.method.toLowerCase() && one.pattern.test(exchange.path),
  );
  if (!found) {
    const name = `${exchange.method} ${exchange.path}`;
    return [name, ["no such operation in the description"]];
  }
  const wrong = [checkParameters, checkRequest, checkAnswer].flatMap((part) => part(found, exchange));
  return [`${found.name} ${exchange.status}`, wrong];
}

const folder = process.argv[2];
const lines = (existsSync(folder) ? readdirSync(folder) : [])
  .filter((name) => name.endsWith(".jsonl"))
  .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
  .filter((line) => line !== "");
if (lines.length === 0) {
  console.error(`github-contract: ${folder} has no exchanges; run the tests first`);
  process.exit(1);
}
const counts = new Map();
const wrong = new Map();
for (const line of lines) {
  const exchange = JSON.parse(line);
  const [name, problems] = check(exchange);
  counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const problem of problems) {
    if (!wrong.has(`${name}: ${problem}`)) wrong.set(`${name}: ${problem}`, line.slice(0, 300));
  }
}
console.log("Held against GitHub's description:");
for (const [name, count] of [...counts].sort()) console.log(`${String(count).padStart(5)}  ${name}`);
for (const [problem, line] of wrong) console.error(`\ngithub-contract: ${problem}\n  ${line}`);
if (wrong.size > 0) process.exit(1);
