/** Errors as registries say them (distribution specification 1.1, "Error Codes"): clients show code and message, and only of this form. */
import type { Body } from '../../core/format.ts';
import type { Code, ProblemFacts } from '../../core/problem.ts';
import { jsonBody } from './json.ts';

/** Answers below 500 may have no other codes than the specification's; the last two are those of distribution 3. */
export type RegistryCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
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

/** What was not found, by the route it was looked for on. */
const unknown: Readonly<Record<string, RegistryCode>> = {
  manifest: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  upload: 'BLOB_UPLOAD_UNKNOWN',
};

function codeOf(code: Code, route: string | undefined): RegistryCode {
  switch (code) {
    case 'not_found':
    case 'offline':
      return unknown[route ?? ''] ?? 'NAME_UNKNOWN';
    case 'unauthorized':
      return 'UNAUTHORIZED';
    case 'forbidden':
    case 'refused':
    case 'conflict':
    case 'upstream_refused':
      return 'DENIED';
    case 'bad_path':
    case 'uri_too_long':
      return 'NAME_INVALID';
    case 'too_large':
    case 'range_not_satisfiable':
      return 'SIZE_INVALID';
    case 'bad_request':
    case 'method_not_allowed':
    case 'request_timeout':
    case 'expectation_failed':
    case 'headers_too_large':
    case 'not_implemented':
      return 'UNSUPPORTED';
    case 'busy':
    case 'upstream_unavailable':
      return 'UNAVAILABLE';
    case 'internal':
    case 'upstream_invalid':
    case 'loop':
      return 'UNKNOWN';
  }
}

/**
 * Our own, finer code goes along as the detail. That upstream refuses is told as a refusal: Docker Hub and ghcr do so to who
 * mistypes a name, and podman 4.3, skopeo 1.9 and containerd 1.6 show no message of an answer above 499.
 */
export function problem({ status, code, message, route }: ProblemFacts): Body {
  const said = status === 429 ? 'TOOMANYREQUESTS' : codeOf(code, route);
  return errorBody(code === 'upstream_refused' ? 403 : status, said, message, { reason: code });
}
