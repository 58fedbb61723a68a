/** Attestations that come with an upload (PEP 740). They are kept and handed on; whether to believe them is for who installs. */
import { parseJsonValue } from '../../codecs/json.ts';
import type { Identity } from '../../core/format.ts';
import { Problem } from '../../core/problem.ts';
import { isObject, type Json, textOf } from './json.ts';

const maxAttestations = 20;

function wrong(why: string, cause?: unknown): Problem {
  return new Problem('invalid_package', `The attestations can't be taken: ${why}.`, { cause });
}

/** The in-toto statement in an attestation's envelope. */
function statementOf(attestation: Json): Json {
  const { envelope } = attestation;
  if (!isObject(envelope) || typeof envelope.statement !== 'string' || typeof envelope.signature !== 'string') {
    throw wrong('one of them has no envelope with a statement and a signature');
  }
  let statement: unknown;
  try {
    statement = parseJsonValue(textOf(Buffer.from(envelope.statement, 'base64')));
  } catch (error) {
    throw wrong('the statement of one is not JSON', error);
  }
  if (!isObject(statement)) throw wrong('the statement of one is no JSON object');
  return statement;
}

function isAbout(statement: Json, filename: string, sha256: string): boolean {
  const subjects: unknown = statement.subject;
  if (!Array.isArray(subjects)) return false;
  return subjects.some(
    (subject) =>
      isObject(subject) &&
      subject.name === filename &&
      isObject(subject.digest) &&
      String(subject.digest.sha256).toLowerCase() === sha256,
  );
}

/** Whoever published it, as far as we know: what an issuer says about a CI job is not ours to publish. */
function publisherOf(by: Identity): Json {
  return by.kind === 'ci' ? { kind: by.name?.split(':')[0] ?? 'ci', claims: null } : { kind: 'Larder', claims: null };
}

/**
 * The provenance object of a file, from the field `attestations` of its upload. Throws `invalid_package` on what are no attestations
 * of version 1, or are about another file.
 */
export function provenanceOf(field: string, filename: string, sha256: string, by: Identity): Uint8Array {
  let attestations: unknown;
  try {
    attestations = parseJsonValue(field);
  } catch (error) {
    throw wrong('they are not JSON', error);
  }
  if (!Array.isArray(attestations) || attestations.length === 0) throw wrong('they are no list');
  if (attestations.length > maxAttestations) throw wrong(`there are more than ${maxAttestations}`);
  for (const attestation of attestations as unknown[]) {
    if (!isObject(attestation) || attestation.version !== 1 || !isObject(attestation.verification_material)) {
      throw wrong('one of them is not of version 1');
    }
    if (!isAbout(statementOf(attestation), filename, sha256))
      throw wrong(`one of them is about another file than ${filename}`);
  }
  return Buffer.from(
    JSON.stringify({ version: 1, attestation_bundles: [{ publisher: publisherOf(by), attestations }] }),
  );
}
