// Prints what @asyncapi/parser finds wrong with a document, one line each: severity, path, words.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, path] = process.argv.slice(2);
const { Parser } = createRequire(`${modules}/`)("@asyncapi/parser");
for (const found of await new Parser().validate(readFileSync(path, "utf8"))) {
  console.log(["error", "warning", "info", "hint"][found.severity], found.path.join("."), found.message);
}
