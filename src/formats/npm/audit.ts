/** Audits are answered by upstream; what they are asked must not tell it the names of private packages. */
import { brotliCompressSync, brotliDecompressSync, deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import type { Forward } from '../../core/format.ts';
import { isJson, isObject, type Json, jsonBody } from './json.ts';

type IsPrivate = (name: string) => boolean;

/** Of the unpacked body: a tree of some ten thousand packages. It is unpacked while others wait. */
const limit = 16 * 1024 * 1024;

interface Coder {
  readonly unpack: (body: Uint8Array) => Uint8Array;
  readonly pack: (body: Uint8Array) => Uint8Array;
}

const coders: Readonly<Record<string, Coder>> = {
  identity: { unpack: (body) => body, pack: (body) => body },
  gzip: { unpack: (body) => gunzipSync(body, { maxOutputLength: limit }), pack: (body) => gzipSync(body) },
  'x-gzip': { unpack: (body) => gunzipSync(body, { maxOutputLength: limit }), pack: (body) => gzipSync(body) },
  deflate: { unpack: (body) => inflateSync(body, { maxOutputLength: limit }), pack: (body) => deflateSync(body) },
  br: {
    unpack: (body) => brotliDecompressSync(body, { maxOutputLength: limit }),
    pack: (body) => brotliCompressSync(body),
  },
};

function without(record: Json, isPrivate: IsPrivate, inner: (value: unknown) => unknown = (value) => value): Json {
  return Object.fromEntries(
    Object.entries(record)
      .filter(([name]) => !isPrivate(name))
      .map(([name, value]) => [name, inner(value)]),
  );
}

/** A node of the tree that the older audits send: npm's lockfile with less in it. */
function withoutInTree(node: unknown, isPrivate: IsPrivate): unknown {
  if (!isObject(node)) return node;
  const { name, requires, dependencies, install, remove, ...rest } = node;
  const nameOf = (spec: unknown): string => String(spec).replace(/(?<=.)@.*$/, '');
  const public_ = (specs: unknown): unknown =>
    Array.isArray(specs) ? specs.filter((spec) => !isPrivate(nameOf(spec))) : specs;
  return {
    ...(name === undefined || (typeof name === 'string' && isPrivate(name)) ? {} : { name }),
    ...rest,
    ...(requires === undefined ? {} : { requires: isObject(requires) ? without(requires, isPrivate) : requires }),
    ...(isObject(dependencies)
      ? { dependencies: without(dependencies, isPrivate, (child) => withoutInTree(child, isPrivate)) }
      : {}),
    ...(install === undefined ? {} : { install: public_(install) }),
    ...(remove === undefined ? {} : { remove: public_(remove) }),
  };
}

function redactor(strip: (json: Json, isPrivate: IsPrivate) => unknown): NonNullable<Forward['redact']> {
  return (body, encoding, isPrivate) => {
    const coder = coders[encoding?.trim().toLowerCase() || 'identity'];
    if (!coder) return undefined;
    let asked = false;
    try {
      const json: unknown = JSON.parse(Buffer.from(coder.unpack(body)).toString('utf8'));
      if (!isObject(json)) return undefined;
      const stripped = strip(json, (name) => {
        const hidden = isPrivate(name);
        asked ||= hidden;
        return hidden;
      });
      return asked ? coder.pack(Buffer.from(JSON.stringify(stripped))) : body;
    } catch {
      return undefined;
    }
  };
}

const shared = {
  kind: 'forward',
  headers: ['content-type', 'content-encoding', 'accept'],
  accepts: isJson,
} as const;

/** `{name: [versions]}` in, `{name: [advisories]}` out; nothing known is an empty object. */
export const bulkAudit: Forward = {
  ...shared,
  path: '-/npm/v1/security/advisories/bulk',
  otherwise: jsonBody({}),
  redact: redactor(without),
};

/** npm 6 and yarn 1 fail on an answer without these fields. */
const noAdvisories = jsonBody({
  actions: [],
  advisories: {},
  muted: [],
  metadata: {
    vulnerabilities: { info: 0, low: 0, moderate: 0, high: 0, critical: 0 },
    dependencies: 0,
    devDependencies: 0,
    optionalDependencies: 0,
    totalDependencies: 0,
  },
});

const treeAudit = { ...shared, otherwise: noAdvisories, redact: redactor(withoutInTree) };
export const quickAudit: Forward = { ...treeAudit, path: '-/npm/v1/security/audits/quick' };
export const fullAudit: Forward = { ...treeAudit, path: '-/npm/v1/security/audits' };
