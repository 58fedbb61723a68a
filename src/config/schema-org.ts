/** What people write about an organisation: repositories and their sources, rights, projects, webhooks. */
import { z } from 'zod';
import { orgLimitsSchema } from './schema-server.ts';
import { anyDuration, count, duration, flag, nameRecord, size, text } from './values.ts';

const claimsSchema = z
  .array(text('name pattern'))
  .prefault([])
  .describe("Names that belong to this source alone, such as '@acme/*': no other source is asked for them.");

const remoteSchema = z.strictObject({
  remote: text('upstream').describe('Name of an upstream: a well-known one, or one of `upstreams`.'),
  ttl: duration('5m').describe('How long a document counts as fresh.'),
  staleWhileRevalidate: duration('5m').describe(
    'How long after that it is still given out at once, while it is checked in the background.',
  ),
  staleIfError: z
    .union([z.literal('unlimited'), anyDuration()], { error: 'is neither a duration nor unlimited' })
    .prefault('unlimited')
    .describe('How long after that it stands in while upstream is unreachable.'),
  negativeTtl: duration('30s').describe('How long "not found" is remembered.'),
  patience: duration('3s').describe('How long a client waits for a check before it gets the stale copy.'),
  offline: flag(false).describe('Never ask upstream; serve only what is stored.'),
  claims: claimsSchema,
  takedown: z
    .union(
      [
        z.literal('never'),
        z.strictObject({
          confirmations: count(3, 1, 1000).describe('How many times upstream must say so.'),
          over: duration('1h').describe('Over how long at least.'),
        }),
      ],
      { error: 'is neither never nor confirmations and over' },
    )
    .optional()
    .describe(
      'When upstream says that something stored is gone: how sure to be before believing it, or `never` to believe it. Without it, `never` for container images and 3 confirmations over 1h for everything else.',
    ),
});

const nestedSchema = z.strictObject({
  repository: text('repository').describe('Another repository: `org/name`, or `name` in the same org.'),
  claims: claimsSchema,
});

const hostedSchema = z.strictObject({
  hosted: z
    .literal(true, { error: 'can only be true' })
    .describe('Packages published here, by the clients themselves. One such source in a repository at most.'),
  claims: claimsSchema,
  merge: z
    .array(text('name pattern'))
    .prefault([])
    .describe(
      'Names that other sources may add versions to. Any other name that is published here is answered from here alone.',
    ),
  overwrite: flag(false).describe(
    'Published versions may be replaced by other bytes. Without it a version is what it was for ever.',
  ),
  maxSize: size().optional().describe('What may be published in this repository, all together; more is refused.'),
});

const repositorySchema = z.strictObject({
  format: text('format id').describe('What its clients speak; the names of the folders below `src/formats`.'),
  sources: z
    .array(
      z.union([remoteSchema, nestedSchema, hostedSchema], {
        error: 'needs to say where from: remote: UPSTREAM, or repository: ORG/NAME',
      }),
    )
    .min(1, { error: 'needs at least one source' })
    .describe(
      'Where its content comes from, in order: the first that has it wins, and in merged documents the earlier wins.',
    ),
  partial: z
    .enum(['refuse', 'allow'])
    .prefault('refuse')
    .meta({ title: 'refuse or allow' })
    .describe(
      'When one of several sources cannot be reached and nothing stored stands in for it: refuse the merged document, or serve what the others have.',
    ),
  options: z
    .record(z.string(), z.unknown())
    .prefault({})
    .meta({ title: 'settings' })
    .describe("The format's own settings; see its page in `docs/formats`."),
  maxArtifactSize: size().prefault('20GB').describe('A longer file is refused.'),
  keepGoing: flag(true).describe('Finish and store a download although every client that wanted it has left.'),
  keepWarm: z
    .strictObject({
      every: duration('6h').describe('How often.'),
      usedWithin: duration('14d').describe('What nobody asked for in this time is left alone.'),
    })
    .optional()
    .describe(
      'Refresh what is used before anybody asks for it again, and fetch the newest version of packages that are used; after all clients. Off unless it is there.',
    ),
});

const accessSchema = z.strictObject({
  who: z
    .array(text('everyone, members, team:NAME, user:NAME or ci:ISSUER:PATTERN'))
    .min(1, { error: 'needs at least one' })
    .describe(
      '`everyone` (also without credentials), `members`, `team:NAME`, `user:NAME`, `ci:ISSUER-NAME:SUBJECT-PATTERN`.',
    ),
  may: z
    .array(z.enum(['read', 'publish', 'delete', 'admin']))
    .min(1, { error: 'needs at least one of read, publish, delete, admin' })
    .describe('`read`, `publish`, `delete`, `admin`.'),
  repositories: z.array(text('repository name')).optional().describe('Only in these repositories of the org.'),
  names: z.array(text('name pattern')).optional().describe("Only packages with these names, such as '@acme/*'."),
  claims: z
    .record(z.string(), text('pattern'))
    .optional()
    .describe('For `ci:` only: what the ID token has to say besides, such as `ref: refs/heads/main`. All must match.'),
});

const whoList = z.array(text('everyone, members, team:NAME, user:NAME or ci:ISSUER:PATTERN'));

const userSchema = z.strictObject({
  service: flag(false).describe('An account for a machine: it never signs in with a browser.'),
  password: text()
    .optional()
    .describe('For clients and people that sign in with one. Write it as a reference to a secret, or as a hash of it.'),
});

const projectSchema = z.strictObject({
  visibility: z
    .enum(['public', 'internal', 'private'])
    .prefault('private')
    .meta({ title: 'public, internal or private' })
    .describe(
      'Who may read its packages: `public` everyone, `internal` members of the org, `private` its own members.',
    ),
  source: text('URL')
    .optional()
    .describe('Its source repository, such as https://git.example.com/acme/shop: packages that name it belong to it.'),
  members: z
    .strictObject({
      read: whoList.optional().describe('May read its packages.'),
      publish: whoList.optional().describe('May publish and read them.'),
      delete: whoList.optional().describe('May delete and read them.'),
      admin: whoList.optional().describe('May do everything with them.'),
    })
    .prefault({})
    .describe('Who belongs to it, written as in `who` of a rule.'),
  packages: z
    .array(text('REPOSITORY-PATTERN:NAME-PATTERN'))
    .prefault([])
    .describe("Packages that belong to it whatever they say themselves, such as 'npm:@acme/shop-*'."),
});

const webhookSchema = z.strictObject({
  url: text('URL').describe('Asked with POST for each event.'),
  secret: text('secret').describe('Signs what is sent: HMAC-SHA256, as Standard Webhooks has it.'),
  events: z
    .array(z.enum(['publish', 'delete', 'yank', 'promote', 'admin', 'block']))
    .prefault([])
    .describe('`publish`, `delete`, `yank`, `promote`, `admin`, `block`; none: all.'),
  repositories: z.array(text('repository pattern')).prefault([]).describe('Only of these; none: all of the org.'),
});

/** An organisation. */
export const orgSchema = z.strictObject({
  recording: z
    .enum(['members', 'everyone'])
    .prefault('members')
    .meta({ title: 'members or everyone' })
    .describe('Who may have what a build asks for recorded as a named set, of what they may read.'),
  webhooks: z.array(webhookSchema).prefault([]).describe('Who is told of what is published, changed and taken away.'),
  teams: z
    .record(z.string(), z.array(text('user')))
    .prefault({})
    .describe('Team names and their members.'),
  users: z
    .record(
      z.string().regex(/^[\w.@+-]{1,100}$/, { error: 'is no user name: letters, digits, "-", ".", "_", "@", "+"' }),
      userSchema,
    )
    .prefault({})
    .describe('Users and service accounts that are in no team, or have a password.'),
  projects: nameRecord(projectSchema)
    .prefault({})
    .describe('Source projects: their packages follow their visibility and members instead of the rules.'),
  repositories: nameRecord(repositorySchema).prefault({}).describe('Repositories by name; reached at `/ORG/NAME/`.'),
  maxSize: size().optional().describe('What may be published in all its repositories together; more is refused.'),
  limits: orgLimitsSchema.prefault({}).describe('What its clients may take of the server. See `docs/limits.md`.'),
  access: z
    .array(accessSchema)
    .prefault([])
    .describe('Who may do what. Rules add up; nothing is allowed that no rule allows.'),
});
