/** What upstream says about its signatures on packages, said again only as far as it is true of what is served here. */
import type { Document, DocumentType, Heard, Step } from '../../core/format.ts';
import { signaturesPath } from './address.ts';
import { renderSignatures } from './hosted.ts';
import { type Json, jsonBody, objectsOf, parseObject, textOf } from './json.ts';
import { isIndex } from './resources.ts';

export interface Signatures {
  /** Clients refuse every package without one of the signatures below. */
  readonly all: boolean;
  readonly certificates: readonly Json[];
}

/** Of a source that says nothing: its packages have no signatures that could be asked for. */
const nothing = Buffer.from(JSON.stringify({ allRepositorySigned: false, signingCertificates: [] }));

/** Every source has a say, also the one that signs nothing: it is then not all that is signed. */
function obtain({ path }: Document, [answer]: readonly Heard[]): Step {
  if (!answer) return { ask: { path } };
  const isThere = answer.status === 200 && !isIndex(answer.bytes);
  return { bytes: isThere ? answer.bytes : nothing, contentType: 'application/json' };
}

/** Clients fetch certificates by https alone; without one of them its signatures can't be demanded. */
function decode(bytes: Uint8Array): Signatures {
  const json = parseObject(bytes);
  const { allRepositorySigned: all } = json;
  if (typeof all !== 'boolean') throw new Error('it does not say whether everything is signed');
  const told = objectsOf(json.signingCertificates, 'certificates');
  const certificates = told.filter(({ contentUrl }) => textOf(contentUrl)?.startsWith('https://'));
  return { all: all && certificates.length > 0 && certificates.length === told.length, certificates };
}

const same = (a: Signatures, b: Signatures): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Of several sources "all" is true only if they are one and the same. */
function merge(docs: readonly Signatures[]): Signatures {
  const [first = { all: false, certificates: [] }] = docs;
  if (docs.every((doc) => same(doc, first))) return first;
  const certificates = new Map(
    docs.flatMap((doc) => doc.certificates.map((one) => [JSON.stringify(one.fingerprints ?? one), one] as const)),
  );
  return { all: false, certificates: [...certificates.values()] };
}

export const signatures: DocumentType<Signatures> = {
  id: 'repository-signatures',
  limit: 1024 * 1024,
  obtain,
  decode,
  merge,
  render: renderSignatures,
  encode: ({ all, certificates }) => jsonBody({ allRepositorySigned: all, signingCertificates: certificates }),
};

export const repositorySignatures: Document = { kind: 'document', type: signatures, path: signaturesPath };
