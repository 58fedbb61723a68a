/** YAML as Ruby's Psych writes it: `!ruby/object:` tags stand before plain mappings, and no object is made of any of them. */
import { parseDocument, type ScalarTag } from 'yaml';

export interface YamlLimits {
  /** Default 2 MiB. */
  readonly sizeBytes?: number;
}

const defaults = { sizeBytes: 2 * 1024 * 1024 } as const satisfies YamlLimits;

/** Old versions of Psych referred from `version_requirements` to `requirement`, once for each dependency. */
const maxAliases = 1000;

/** How Psych writes a text that is in no known encoding. */
const binary = (tag: string): ScalarTag => ({
  tag,
  resolve: (text) => Buffer.from(text, 'base64').toString('utf8'),
});

/**
 * Texts, arrays and plain objects of them, whatever their tags say: `1.0` stays as it is written, and nothing (`~` too) is the
 * empty text or `~`. Of a key that comes twice the last counts, as in Ruby. Throws an Error on what is no single document,
 * is not UTF-8, is beyond the limits, or refers to itself without end.
 */
export function readRubyYaml(bytes: Uint8Array, limits: YamlLimits = {}): unknown {
  const { sizeBytes } = { ...defaults, ...limits };
  if (bytes.byteLength > sizeBytes) throw new Error(`the YAML is longer than ${sizeBytes} bytes`);
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
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
