/**
 * Makes the page about configuration and the schema for editors out of the one place where options are described:
 * `node src/config/document.ts`. A test fails when they are not up to date.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type JsonSchema, jsonSchema } from './check-file.ts';
import { wellKnown } from './well-known.ts';

const introduction = `# Configuration

<!-- Made by \`node src/config/document.ts\` from src/config/schema*.ts. Change it there. -->

Larder reads one YAML file: the one given with \`--config FILE\`, else the one that the environment variable \`LARDER_CONFIG\` names, else
\`config/default.yaml\` of the installation. \`larder check\` says what a file comes to, and everything that is wrong with it, without starting anything.

\`config/larder.example.yaml\` shows most options together, and \`config/examples\` has one short file per situation. Editors that know JSON schema
complete and check the file with this line at its top: \`# yaml-language-server: $schema=/path/to/larder/config/schema.json\`.

## How values are written

- **Sizes**: \`KB\`, \`MB\`, \`GB\`, \`TB\` are powers of 1000, \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\` powers of 1024; a plain number is bytes.
- **Durations**: \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`, as in \`500ms\` or \`7d\`. A plain number is a mistake, except 0 and where the name ends in \`Ms\`.
- **Secrets**: \`\${NAME}\` is replaced by the environment variable, \`\${file:PATH}\` by the content of the file without its last line break. Both work anywhere
  in a value, and a missing one is a mistake. \`$\${\` stands for the two characters themselves. No command prints what was filled in.
- **Relative paths** start at the working directory of the process. \`npm start\` sets it to the folder of the installation.
- **Names** of orgs, repositories and upstreams: lower-case letters, digits, \`-\`, \`.\` and \`_\`, the first a letter or digit. The orgs
  \`v2\`, \`api\`, \`ui\`, \`healthz\`, \`readyz\`, \`metrics\` and \`token\` are reserved.
- **Mistakes**: an unknown key is one. All of them are reported at once, each with its line, and the process exits with 2 before it listens.

`;

const wellKnownText = `## Well-known upstreams

A source may name these without an entry in \`upstreams\`; an entry changes only what it says. An upstream works once its format is part of Larder.

| name | format | address |
|---|---|---|
${Object.entries(wellKnown)
  .map(([name, { format, url }]) => `| \`${name}\` | ${format} | ${name === 'npmjs' ? 'see below' : url} |`)
  .join('\n')}

**npmjs** is, in this order: \`upstreams.npmjs.url\` of the configuration; the environment variable \`LARDER_NPM_REGISTRY\`; the registry that npm itself is set to
use, when Larder was started by an npm script such as \`npm start\`; the public npm registry. A machine whose npm goes through a company's mirror
therefore needs no configuration. A setting of npm that points to Larder itself is passed over, and so is one with credentials in it (npm
hands no tokens to its scripts: write such a registry into \`upstreams\`). \`larder check\` prints which address is used and why.

An HTTP proxy in the environment (\`HTTPS_PROXY\`, \`HTTP_PROXY\`, \`NO_PROXY\`, or npm's own settings) is used for every upstream that names none, and
npm's \`cafile\` for \`npmjs\`.
`;

interface Part {
  readonly heading: string;
  readonly description: string;
  readonly schema: JsonSchema;
}

/** The whole page. */
export function page(): string {
  const top = Object.entries(jsonSchema().properties ?? {});
  const texts = top.flatMap(([name, schema]) =>
    sections({ heading: name, description: schema.description ?? '', schema }),
  );
  return `${introduction}${texts.join('\n')}\n${wellKnownText}`;
}

/** For editors. */
export function editorSchema(): string {
  const text = JSON.stringify(jsonSchema(), undefined, 2);
  // Short lists on one line, as the formatter has them.
  return `${text.replaceAll(/\[\n\s+("[^"\n]*"(?:,\n\s+"[^"\n]*")*)\n\s+\]/g, (_, items: string) => `[${items.replaceAll(/\s*\n\s*/g, ' ')}]`)}\n`;
}

/** One, and after it whatever is too deep for its table. */
function sections(part: Part): string[] {
  const parts: Part[] = [];
  const text = section(part, parts);
  return [text, ...parts.flatMap(sections)];
}

function section({ heading, description, schema }: Part, parts: Part[]): string {
  const title = `## \`${heading}\`\n\n${description}\n`;
  const branches = branchesOf(schema);
  const table = branches.map((branch) => rows(branch, heading, '', parts)).filter((lines) => lines.length > 0);
  if (parts.length > 0 && table.length === 0) return title;
  if (table.length === 0) return `${title}\n${valueLine(schema)}\n`;
  const head = '| key | value | default | meaning |\n|---|---|---|---|\n';
  return `${title}\n${table.map((lines) => `${head}${lines.join('\n')}\n`).join('\nor\n\n')}`;
}

function rows(schema: JsonSchema, heading: string, prefix: string, parts: Part[]): string[] {
  const record = schema.additionalProperties;
  if (!schema.properties && typeof record === 'object' && isStructure(record)) {
    parts.push({ heading: `${heading}.NAME`, description: `Settings of one of them.`, schema: record });
    return [];
  }
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const key = `${prefix}${name}`;
    const below = `${heading}.${key}`;
    const list =
      inner.items ?? (typeof inner.additionalProperties === 'object' ? inner.additionalProperties : undefined);
    if (!inner.properties && list && isStructure(list)) {
      parts.push({
        heading: inner.items ? `${below}[]` : `${below}.NAME`,
        description: `One of \`${key}\`.`,
        schema: list,
      });
      return [row(key, inner, inner.items ? 'list, see below' : 'by name, see below', schema)];
    }
    if (!isStructure(inner)) return [row(key, inner, valueIn(inner), schema)];
    const deeper = branchesOf(inner).flatMap((branch) => rows(branch, heading, `${key}.`, parts));
    return [`| \`${key}\` | | | ${cell(inner.description ?? '')} |`, ...deeper];
  });
}

function row(key: string, schema: JsonSchema, value: string, parent: JsonSchema): string {
  const name = key.slice(key.lastIndexOf('.') + 1);
  const needed = parent.required?.includes(name) && schema.default === undefined;
  return `| \`${key}\` | ${cell(value)} | ${needed ? '**needed**' : defaultIn(schema)} | ${cell(schema.description ?? '')} |`;
}

function valueLine(schema: JsonSchema): string {
  const fallback = defaultIn(schema);
  return `Value: ${valueIn(schema)}.${fallback === '' ? '' : ` Default: ${fallback}.`}`;
}

function valueIn(schema: JsonSchema): string {
  if (schema.title !== undefined) return schema.title;
  if (schema.const !== undefined) return String(schema.const);
  if (schema.enum) return schema.enum.join(', ');
  if (schema.items) return `list of ${valueIn(schema.items)}`;
  if (typeof schema.additionalProperties === 'object') {
    const inner = schema.additionalProperties;
    return inner.items ? `lists of ${valueIn(inner.items)}, by name` : `${valueIn(inner)}, by name`;
  }
  return (schema.anyOf ?? []).map(valueIn).join(' or ');
}

function defaultIn({ default: value }: JsonSchema): string {
  if (value === undefined || (typeof value === 'object' && Object.keys(value ?? {}).length === 0)) return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function branchesOf(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf?.flatMap(branchesOf) ?? [schema];
}

function isStructure(schema: JsonSchema): boolean {
  return branchesOf(schema).some((branch) => branch.properties !== undefined);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

if (import.meta.main) {
  await writeFile(fileURLToPath(new URL('../../docs/configuration.md', import.meta.url)), page());
  await writeFile(fileURLToPath(new URL('../../config/schema.json', import.meta.url)), editorSchema());
}
