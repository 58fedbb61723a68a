/** Signing keys and attestations: what clients check signatures with. Passed through as they are. */
import type { DocumentType } from '../../core/format.ts';
import { renderAttestations } from './hosted.ts';
import { parseJson } from './json.ts';

const limit = 16 * 1024 * 1024;

/** Any JSON object, answered byte for byte. */
function verbatim(id: string): DocumentType<Uint8Array> {
  return {
    id,
    limit,
    decode(bytes) {
      parseJson(bytes);
      return bytes;
    },
    encode: (bytes) => ({ headers: { 'content-type': 'application/json' }, bytes }),
  };
}

export const keys = verbatim('keys');
/** Of a version that was published here what came with it; others ask their upstream. */
export const attestations: DocumentType<Uint8Array> = { ...verbatim('attestations'), render: renderAttestations };
