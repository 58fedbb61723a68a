/**
 * The configuration as people write it: every option once, with its meaning and its default. The pages and the editor schema are
 * made from this (`document.ts`). What becomes of it is in `settings.ts`.
 */

import { z } from 'zod';
import { orgSchema } from './schema-org.ts';
import { serverSchema, storageSchema } from './schema-server.ts';
import { upstreamSchema } from './schema-upstream.ts';
import { count, flag, nameRecord, share, size, text } from './values.ts';

/** Loopback, link-local, private and shared address space (RFC 1918, 3927, 4193, 4291, 6598): where a Prometheus of one's own is. */
const nearby = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
];

const issuerSchema = z.strictObject({
  url: text('URL').optional().describe('As it stands in its tokens. May be left out for a well-known name.'),
  audience: z
    .union([text('audience'), z.array(text('audience'))], { error: 'needs an audience or a list of them' })
    .optional()
    .describe("What tokens may be made out for, besides this server's own address."),
});

const signInSchema = z.strictObject({
  issuer: text('URL').describe('OpenID Connect provider.'),
  clientId: text().describe('As the provider knows Larder. The redirect address is PUBLIC-URL/ui/login/callback.'),
  clientSecret: text()
    .optional()
    .describe('Write it as a reference to a secret. Without it Larder is a public client.'),
  org: text('org').describe('Whose members those who sign in become.'),
  scopes: z.array(text('scope')).prefault(['openid', 'profile', 'email']).describe('What is asked for.'),
  userClaim: text('claim').prefault('preferred_username').describe('Claim with the name of the user.'),
  groupsClaim: text('claim').prefault('groups').describe('Claim that lists the groups.'),
  teams: z
    .record(z.string(), z.union([text('team'), z.array(text('team'))]))
    .prefault({})
    .describe('Which group is which team. Without it a group is the team of its name.'),
});

/** The whole file. */
export const fileSchema = z.strictObject({
  server: serverSchema.prefault({}).describe('How clients reach Larder.'),
  storage: storageSchema.prefault({}).describe('Where and how much is kept.'),
  index: text('sqlite, memory or redis://HOST:PORT/DB')
    .prefault('sqlite')
    .describe(
      'Where the rebuildable index lies: `sqlite` (below `storage.path`), `memory` (lost at every stop), or a Redis server that several machines share.',
    ),
  hosts: z
    .record(z.string(), text('repository'))
    .prefault({})
    .describe(
      'Repositories for clients that cannot send a path: host name to `org/name`; `default` for any other host name.',
    ),
  upstreams: nameRecord(upstreamSchema)
    .prefault({})
    .describe('Other registries by name. Adds to the well-known names, or overrides their settings.'),
  orgs: nameRecord(orgSchema).prefault({}).describe('Organisations: who shares repositories and rules.'),
  issuers: nameRecord(issuerSchema)
    .prefault({})
    .describe(
      'OpenID Connect issuers whose ID tokens CI jobs may show instead of a secret, by the name in `ci:` rules.',
    ),
  signIn: signInSchema.optional().describe('Sign-in of people with a browser through OpenID Connect.'),
  offline: flag(false).describe('Never ask any upstream; serve only what is stored, however old.'),
  webhooks: z
    .strictObject({
      hosts: z
        .array(text('host, host:port or *.domain'))
        .prefault([])
        .describe('Hosts that webhooks may be sent to although their addresses are private.'),
    })
    .prefault({})
    .describe('Telling others of what happens.'),
  documents: z
    .strictObject({
      threads: count(1, 0, 64).describe('Worker threads for big documents, so that they hold up nobody else. 0: none.'),
      inlineBytes: size().prefault('64KiB').describe('Documents up to this size need no worker thread.'),
      memory: size().prefault('128MiB').describe('Memory for documents as they were made for clients.'),
    })
    .prefault({})
    .describe('How documents (lists of versions and the like) are worked on.'),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .prefault('info')
        .meta({ title: 'trace, debug, info, warn, error, fatal or silent' })
        .describe('What is written at least.'),
      access: flag(true).describe('One line per request.'),
      pretty: flag(false).describe('For eyes instead of for machines (JSON).'),
    })
    .prefault({})
    .describe('What is written to standard output.'),
  metrics: z
    .strictObject({
      enabled: flag(true).describe('Serve `/metrics`.'),
      from: z
        .array(text('CIDR block'))
        .prefault(nearby)
        .describe(
          'Address blocks from which it may be read, for it names repositories: loopback and private networks; see `docs/operating.md`. `[0.0.0.0/0, "::/0"]` is everybody.',
        ),
    })
    .prefault({})
    .describe('Numbers for Prometheus.'),
  tracing: z
    .union(
      [
        text('URL'),
        z.strictObject({
          endpoint: text('URL')
            .optional()
            .describe(
              'OpenTelemetry collector, such as http://collector:4318 (OTLP over HTTP). Without it the environment variable OTEL_EXPORTER_OTLP_ENDPOINT counts.',
            ),
          sample: share()
            .prefault(1)
            .describe(
              'Share of the traces that begin here to be kept. Whether a trace that came with a request is kept is for its sender to say.',
            ),
          headers: z
            .record(z.string(), text())
            .prefault({})
            .meta({ title: 'text, by name' })
            .describe('Sent along with the traces; write secrets as references.'),
          serviceName: text('name')
            .optional()
            .describe('What the traces call this server. Without it OTEL_SERVICE_NAME counts, else `larder`.'),
        }),
      ],
      { error: 'needs the address of a collector, or endpoint, sample, headers and serviceName' },
    )
    .optional()
    .describe(
      'Send traces of requests to this OpenTelemetry collector; see `docs/tracing.md`. Off unless it is there.',
    ),
});

/** The file as written, checked and with defaults, but not yet put together. */
export type ConfigFile = z.output<typeof fileSchema>;
