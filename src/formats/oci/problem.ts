/** Errors as registries say them (distribution specification 1.1, "Error Codes"): clients show code and message, and only of this form. */
import type { Answer, Body } from '../../core/format.ts';
import { type Code, Problem, type ProblemFacts } from '../../core/problem.ts';
import { isObject, jsonBody } from './json.ts';

/** Answers below 500 may have no other codes than the specification's; the last two are those of distribution 3. */
export type RegistryCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNAVAILABLE'
  | 'UNKNOWN';

export function errorBody(status: number, code: RegistryCode, message: string, detail: unknown = null): Body {
  return { ...jsonBody({ errors: [{ code, message, detail }] }), status };
}

/** One error in a list of them. */
export interface RegistryError {
  readonly code: RegistryCode;
  readonly message: string;
  readonly detail: unknown;
}

/** A problem that is told in these words, and no others. */
export function registryProblem(code: Code, errors: readonly RegistryError[], headers?: Problem['headers']): Problem {
  const message = errors[0]?.message ?? '';
  return new Problem(code, message, { detail: { errors }, ...(headers ? { headers } : {}) });
}

/** What is wrong with a request can be seen from it alone. */
export function refuse(status: number, code: RegistryCode, message: string): Answer {
  return { kind: 'answer', body: errorBody(status, code, message) };
}

/** What was not found, by the route it was looked for on. */
const unknown: Readonly<Record<string, RegistryCode>> = {
  manifest: 'MANIFEST_UNKNOWN',
  'manifest-delete': 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  'blob-delete': 'BLOB_UNKNOWN',
  upload: 'BLOB_UPLOAD_UNKNOWN',
  'upload-append': 'BLOB_UPLOAD_UNKNOWN',
  'upload-finish': 'BLOB_UPLOAD_UNKNOWN',
  'upload-cancel': 'BLOB_UPLOAD_UNKNOWN',
  catalog: 'UNSUPPORTED',
};

const isUpload = (route: string | undefined): boolean => route?.startsWith('upload') ?? false;

function codeOf(code: Code, route: string | undefined): RegistryCode {
  switch (code) {
    case 'not_found':
    case 'offline':
    case 'not_stored':
      return unknown[route ?? ''] ?? 'NAME_UNKNOWN';
    case 'unauthorized':
      return 'UNAUTHORIZED';
    case 'conflict':
    case 'precondition_failed':
      return isUpload(route) ? 'BLOB_UPLOAD_INVALID' : 'DENIED';
    case 'forbidden':
    case 'refused':
    case 'quota_exceeded':
    case 'upstream_refused':
      return 'DENIED';
    case 'bad_path':
    case 'uri_too_long':
      return 'NAME_INVALID';
    case 'digest_mismatch':
      return 'DIGEST_INVALID';
    case 'invalid_package':
    case 'unsupported_media_type':
      return 'MANIFEST_INVALID';
    case 'too_large':
    case 'range_not_satisfiable':
      return 'SIZE_INVALID';
    case 'too_many_requests':
      return 'TOOMANYREQUESTS';
    case 'bad_request':
    case 'method_not_allowed':
    case 'request_timeout':
    case 'expectation_failed':
    case 'headers_too_large':
    case 'not_implemented':
      return 'UNSUPPORTED';
    case 'busy':
    case 'storage_unavailable':
    case 'upstream_unavailable':
      return 'UNAVAILABLE';
    case 'internal':
    case 'upstream_invalid':
    case 'loop':
      return 'UNKNOWN';
  }
}

/** An empty list would be taken for the truth; which images an upstream has, only the upstream knows. */
const notListed = 'Only images that were pushed here are listed: for others ask the registry that they come from.';

function errorsIn(detail: unknown): readonly RegistryError[] | undefined {
  return isObject(detail) && Array.isArray(detail.errors) ? (detail.errors as RegistryError[]) : undefined;
}

/**
 * Our own, finer code goes along as the detail. That upstream refuses is told as a refusal: Docker Hub and ghcr do so to who
 * mistypes a name, and podman 4.3, skopeo 1.9 and containerd 1.6 show no message of an answer above 499.
 */
export function problem({ status, code, message, route, detail }: ProblemFacts): Body {
  const errors = errorsIn(detail);
  if (errors) return { ...jsonBody({ errors }), status };
  const said = status === 429 ? 'TOOMANYREQUESTS' : codeOf(code, route);
  const words = route === 'catalog' && status === 404 ? notListed : message;
  return errorBody(code === 'upstream_refused' ? 403 : status, said, words, { reason: code });
}
