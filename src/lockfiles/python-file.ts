/** One file of a version of a Python project, in the words that poetry.lock, uv.lock, pdm.lock and pylock.toml share. */
import type { Json } from '../codecs/json.ts';
import type { Digest } from '../core/digest.ts';
import { digestIn, strongest } from './digests.ts';
import { textField } from './fields.ts';
import { type Findings, lastSegment, webAddress } from './findings.ts';

/** `sha256:<hex>`; `undefined` for anything else. */
export function hashDigest(hash: string | undefined): Digest | undefined {
  const [algorithm, hex] = hash?.split(':', 2) ?? [];
  return digestIn(algorithm, hex);
}

export interface Release {
  readonly name: string;
  readonly version: string;
  /** Base address of its index. */
  readonly registry: string | undefined;
  readonly optional: boolean;
  readonly at: string;
}

/** Wants the files of a version one by one; all of them when the lockfile names none. */
export function wantFiles(findings: Findings, release: Release, files: readonly Json[]): void {
  const { at } = release;
  if (files.length === 0) findings.want({ ...release, format: 'pypi' });
  for (const one of files) {
    const url = textField(one, 'url', at);
    const address = webAddress(url);
    const path = textField(one, 'path', at)?.split('/').at(-1);
    const file = textField(one, 'file', at) ?? textField(one, 'name', at) ?? (address ? lastSegment(address) : path);
    const digests = strongest([hashDigest(textField(one, 'hash', at))]);
    findings.want({ ...release, format: 'pypi', url, file, digests });
  }
}

export const buildNeeds =
  'What source distributions need to be built is not in this file: record the build where one of them has no wheel.';
