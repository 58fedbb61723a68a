/** What people write about an upstream. */
import { z } from 'zod';
import { count, duration, flag, milliseconds, text } from './values.ts';

const breakerSchema = z.strictObject({
  failures: count(10, 1).describe(
    'Failures within the window after which the upstream is left alone, if they are at least half of its answers.',
  ),
  window: duration('30s').describe('How far back failures count.'),
  open: duration('15s').describe('How long it is left alone before one request tries again.'),
  probeTimeout: duration('10s').describe('How long that one request may take.'),
});

/** Another registry. */
export const upstreamSchema = z.strictObject({
  url: text('URL')
    .optional()
    .describe('Base address. May be left out for a well-known name, to change only its other settings.'),
  format: text('format id').optional().describe('What it speaks; a repository of another format is then a mistake.'),
  auth: z
    .union(
      [
        z.strictObject({ bearer: text().describe('Token, sent as `Authorization: Bearer`.') }),
        z.strictObject({
          username: text().describe('For basic authentication.'),
          password: z.string().meta({ title: 'text' }).describe('For basic authentication.'),
        }),
      ],
      { error: 'needs either a bearer token or a username and a password' },
    )
    .optional()
    .describe('Credentials; sent to this address only, never along a redirect to another host.'),
  timeoutMs: milliseconds(30_000).describe(
    'Longest wait for the headers of an answer, and between two pieces of its body.',
  ),
  connectTimeout: duration('5s').describe('Longest wait for a connection.'),
  concurrency: count(32, 1, 10_000).describe('Requests at the same time.'),
  maxQueue: count(2000).describe(
    'Requests that may wait for their turn; beyond it the answer is 503 for whoever has more than their share of it waiting.',
  ),
  retries: count(2, 0, 20).describe('Further tries after a failure that may pass.'),
  proxy: text('URL, or none')
    .optional()
    .describe(
      'HTTP proxy to go through. Without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment count; `none` ignores them.',
    ),
  ca: text('path, or PEM text')
    .optional()
    .describe(
      'Certificate authorities to trust for it, besides the usual ones: a file, or the certificates themselves.',
    ),
  hosts: z
    .array(text('host, host:port or *.domain'))
    .prefault([])
    .describe('Further hosts that its links and redirects may lead to, also if their addresses are private.'),
  onlyHosts: flag(false).describe('Links and redirects may lead to its own host and `hosts` only.'),
  offline: flag(false).describe('Never ask it, whichever repository is asked; serve only what is stored.'),
  namespaces: z
    .array(text('registry name'))
    .prefault([])
    .describe(
      'What clients of a mirror call this registry (`?ns=docker.io`), besides its own host. Names to find it by, never addresses to ask.',
    ),
  shortNames: text('name')
    .optional()
    .describe('Image names of a single part stand below this one there: with `library`, `alpine` is `library/alpine`.'),
  realms: z
    .array(text('origin'))
    .prefault([])
    .describe(
      'Token servers, such as https://auth.example.com, that may be shown `auth` although they are at another address.',
    ),
  traceContext: z
    .enum(['nothing', 'traceparent', 'all'])
    .optional()
    .meta({ title: 'nothing, traceparent or all' })
    .describe(
      "What it is told of the trace a client's request is part of (W3C Trace Context), at its own address only: the ids, or `all`, with `tracestate`. Without it `traceparent`, and `nothing` for well-known addresses.",
    ),
  breaker: breakerSchema.prefault({}).describe('When to leave a failing upstream alone for a while.'),
});
