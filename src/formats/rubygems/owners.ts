/** `/api/v1/gems/{gem}/owners.yaml` and `.json`: whom `gem owner` names. */
import type { Body, DocumentType } from '../../core/format.ts';
import { isFields, jsonBody, parse } from './json.ts';
import { type Owner, ownersOf } from './publish.ts';

/** A text in JSON is one in YAML, too. */
function yamlBody(owners: readonly Owner[]): Body {
  const lines = owners.map((owner) => {
    const fields = Object.entries(owner).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
    return `- ${fields.join('\n  ')}\n`;
  });
  const text = owners.length === 0 ? '--- []\n' : `---\n${lines.join('')}`;
  return { headers: { 'content-type': 'text/yaml; charset=utf-8' }, bytes: Buffer.from(text) };
}

function ownerIn(value: unknown): Owner {
  if (!isFields(value)) throw new Error('one of the owners is nobody');
  const { handle, email } = value;
  return {
    ...(typeof handle === 'string' ? { handle } : {}),
    ...(typeof email === 'string' ? { email } : {}),
  };
}

const hasName = ({ handle, email }: Owner): boolean => handle !== undefined || email !== undefined;

/** Variants: `json` and `yaml`. */
export const owners: DocumentType<readonly Owner[]> = {
  id: 'owners',
  limit: 1024 * 1024,
  decode(bytes) {
    const list = parse(bytes);
    if (!Array.isArray(list)) throw new Error('it is no list of owners');
    return list.map(ownerIn).filter(hasName);
  },
  render({ name = '' }, view) {
    const list = ownersOf(view, name);
    return list && jsonBody(list);
  },
  encode: (list, variant) => (variant === 'yaml' ? yamlBody(list) : jsonBody(list)),
};
