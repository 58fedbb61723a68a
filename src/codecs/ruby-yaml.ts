/** YAML as Ruby's Psych writes it: `!ruby/object:` tags stand before plain mappings, and no object is made of any of them. */
import { parseDocument, type ScalarTag } from 'yaml';

export interface YamlOptions {
  /** Of what is looked at. Default 128 KiB: hostile text of that length is a matter of a tenth of a second. */
  readonly sizeBytes?: number;
  /** Keys of the outermost mapping whose lists nobody needs: plain texts in them are left out. */
  readonly leaveOut?: readonly string[];
}

const defaults = { sizeBytes: 128 * 1024, leaveOut: [] } as const satisfies YamlOptions;

/** Old versions of Psych referred from `version_requirements` to `requirement`, once for each dependency. */
const maxAliases = 1000;

/** How Psych writes a text that is in no known encoding. */
const binary = (tag: string): ScalarTag => ({
  tag,
  resolve: (text) => Buffer.from(text, 'base64').toString('utf8'),
});

/** An item of a list of the outermost mapping that needs no quotes. Without the line nothing around it means anything else. */
const plainItem = /^- [A-Za-z0-9_./][^:#]*$/;

function withoutLists(text: string, keys: readonly string[]): string {
  const heads = new Set(keys.map((key) => `${key}:`));
  const lines = text.split('\n');
  let inside = false;
  const kept = lines.filter((line, index) => {
    // What is indented below an item belongs to it.
    if (inside && plainItem.test(line) && !lines[index + 1]?.startsWith(' ')) return false;
    inside = heads.has(line) || (inside && /^[- ] /.test(line));
    return true;
  });
  return kept.join('\n');
}

/**
 * Texts, arrays and plain objects of them, whatever their tags say: `1.0` stays as it is written, and nothing (`~` too) is the
 * empty text or `~`. Of a key that comes twice the last counts, as in Ruby. Throws an Error on what is no single document,
 * is not UTF-8, is beyond the limits, or refers to itself without end.
 */
export function readRubyYaml(bytes: Uint8Array, options: YamlOptions = {}): unknown {
  const { sizeBytes, leaveOut } = { ...defaults, ...options };
  const text = withoutLists(new TextDecoder('utf-8', { fatal: true }).decode(bytes), leaveOut);
  if (Buffer.byteLength(text) > sizeBytes) throw new Error(`the YAML is longer than ${sizeBytes} bytes`);
  const document = parseDocument(text, {
    schema: 'failsafe',
    customTags: [binary('!binary'), binary('tag:yaml.org,2002:binary')],
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
  });
  const [error] = document.errors;
  if (error) throw new Error(`the YAML is broken: ${error.message}`);
  return document.toJS({ maxAliasCount: maxAliases }) as unknown;
}
