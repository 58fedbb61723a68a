/** Every operation of the administration API. */
import { z } from 'zod';
import { refuseUnlessMayEnd } from '../../access/credentials.ts';
import { type Identity, nameOfIdentity } from '../../core/identity.ts';
import type { Signature } from '../../core/journal.ts';
import { Problem } from '../../core/problem.ts';
import type { Repository } from '../../core/repository.ts';
import { explain, knownSources } from '../../pipeline/explain.ts';
import { deleteVersions, listPackages, promote, readPackage, setYanked } from '../../pipeline/packages.ts';
import { auditEventSchema } from './audit.ts';
import { keepWarmSchema, missingSchema, recordedSetSchema } from './offline.ts';
import { type ApiCall, type ApiContext, type Operation, operation } from './route.ts';
import { deliverySchema, newWebhookSchema, webhookSchema } from './webhooks.ts';

const actionSchema = z.enum(['read', 'publish', 'delete', 'admin']);
const orgParams = z.object({ org: z.string() });
const repositoryParams = z.object({ org: z.string(), repository: z.string() });
const packageParams = z.object({
  org: z.string(),
  repository: z.string(),
  name: z.string().describe('Slashes percent-encoded.'),
});
const versionParams = packageParams.extend({ version: z.string() });
const time = z.string().describe('ISO 8601.');

const limit = z.coerce.number().int().min(1).max(1000).default(100);

const fileSchema = z
  .object({ path: z.string(), size: z.int(), contentType: z.string(), digests: z.array(z.string()) })
  .meta({ id: 'File' });
const versionSchema = z
  .object({ version: z.string(), publishedAt: time, changedAt: time, yanked: z.boolean(), files: z.array(fileSchema) })
  .meta({ id: 'Version' });
const packageSchema = z
  .object({
    name: z.string(),
    versions: z.int(),
    newest: z.string().optional().describe('The version that was published last.'),
    createdAt: time,
    changedAt: time,
    source: z.string().optional().describe('URL of the source project that it names itself.'),
  })
  .meta({ id: 'Package' });
const wholePackageSchema = packageSchema
  .extend({ published: z.array(versionSchema) })
  .meta({ id: 'PackageWithVersions' });
const repositorySchema = z
  .object({
    org: z.string(),
    name: z.string(),
    format: z.string(),
    sources: z.array(z.string()).describe('In the order in which they are asked.'),
    hosted: z.boolean().describe('Whether packages can be published in it.'),
  })
  .meta({ id: 'Repository' });
const tokenSchema = z
  .object({
    id: z.string(),
    user: z.string(),
    description: z.string().optional(),
    may: z.array(actionSchema),
    repositories: z.array(z.string()).optional(),
    names: z.array(z.string()).optional(),
    createdAt: time,
    expiresAt: time.optional(),
    lastUsedAt: time.optional(),
    state: z.enum(['valid', 'expired', 'revoked']).optional(),
  })
  .meta({ id: 'Token' });
const newTokenSchema = z
  .strictObject({
    user: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('Default: whoever asks. Somebody else needs to be administrator.'),
    description: z.string().max(200).optional(),
    may: z.array(actionSchema).min(1).optional().describe('Default: whatever its owner may.'),
    repositories: z.array(z.string()).optional().describe('Patterns.'),
    names: z.array(z.string()).optional().describe('Patterns of package names.'),
    expiresInDays: z.number().positive().max(3650).optional(),
  })
  .meta({ id: 'NewToken' });
const ruleSchema = z
  .strictObject({
    who: z
      .array(z.string())
      .min(1)
      .describe('`everyone`, `members`, `team:NAME`, `user:NAME`, `ci:ISSUER-NAME:SUBJECT-PATTERN`.'),
    may: z.array(actionSchema).min(1),
    repositories: z.array(z.string()).optional(),
    names: z.array(z.string()).optional(),
    claims: z.record(z.string(), z.string()).optional().describe('Of a CI job; patterns, all of which must match.'),
  })
  .meta({ id: 'Rule' });
const knownRuleSchema = ruleSchema
  .extend({ id: z.string().optional().describe('Absent: it stands in the configuration.') })
  .meta({ id: 'KnownRule' });
const projectSchema = z
  .strictObject({
    visibility: z.enum(['public', 'internal', 'private']),
    source: z.string().optional().describe('URL of the source project: packages that name it belong to it.'),
    members: z
      .strictObject({
        read: z.array(z.string()).optional(),
        publish: z.array(z.string()).optional(),
        delete: z.array(z.string()).optional(),
        admin: z.array(z.string()).optional(),
      })
      .default({}),
    packages: z.array(z.string()).default([]).describe('`REPOSITORY-PATTERN:NAME-PATTERN`.'),
  })
  .meta({ id: 'Project' });
const knownProjectSchema = projectSchema
  .extend({ name: z.string(), from: z.enum(['configuration', 'journal']) })
  .meta({ id: 'KnownProject' });
const userSchema = z
  .object({
    name: z.string(),
    kind: z.enum(['user', 'service']),
    teams: z.array(z.string()),
    hasPassword: z.boolean(),
    from: z.enum(['configuration', 'journal']),
  })
  .meta({ id: 'User' });

interface ExplainedSource {
  source: string;
  asked: boolean;
  why: string;
  inner?: ExplainedSource[] | undefined;
}
const explainedSchema: z.ZodType<ExplainedSource> = z.object({
  source: z.string(),
  asked: z.boolean(),
  why: z.string(),
  get inner() {
    return z.array(explainedSchema).optional();
  },
});

const listOf = <T extends z.ZodType>(schema: T) =>
  z.object({ items: z.array(schema), next: z.string().optional().describe('For `after`; absent: that was all.') });

const signatureOf = ({
  identity,
  requestId,
}: Pick<ApiCall<never, never, never>, 'identity' | 'requestId'>): Signature => ({
  by: nameOfIdentity(identity),
  ...(identity.token ? { token: identity.token.id } : {}),
  requestId,
});

/** Whoever may not know of it hears that there is none. */
function repositoryOf(
  { context, identity }: Pick<ApiCall<never, never, never>, 'context' | 'identity'>,
  { org, repository }: { org: string; repository: string },
): Repository {
  const found = context.packages.repository(`${org}/${repository}`);
  if (found && context.access.mayKnow(found, identity)) return found;
  throw new Problem('not_found', `There is no repository ${org}/${repository} here.`);
}

function warmOf(
  call: Pick<ApiCall<never, never, never>, 'context' | 'identity'>,
  params: { org: string; repository: string },
  what: 'state' | 'run',
) {
  const { id } = repositoryOf(call, params);
  const found = call.context.keepWarm[what](id);
  if (found) return found;
  throw new Problem('not_found', `${id} is not kept warm: keepWarm: in its configuration would say so.`);
}

const describeRepository = (
  { packages }: ApiContext,
  repository: Repository,
  identity: Identity,
): z.output<typeof repositorySchema> => ({
  org: repository.org,
  name: repository.name,
  format: repository.format.id,
  sources: knownSources(packages, repository, identity).map(({ id }) => id),
  hosted: packages.hostingOf(repository) !== undefined,
});

export const operations: readonly Operation[] = [
  operation({
    id: 'orgs.list',
    method: 'get',
    path: '/orgs',
    summary: 'Organisations in which there is something for you.',
    needs: 'nothing',
    answer: listOf(z.object({ name: z.string(), administrator: z.boolean() })),
    async run({ context, identity }) {
      const known = new Set<string>();
      for (const repository of context.repositories()) {
        if (context.access.mayKnow(repository, identity)) known.add(repository.org);
      }
      return {
        items: [...known].sort().map((name) => ({ name, administrator: context.access.mayAdminister(name, identity) })),
      };
    },
  }),
  operation({
    id: 'repositories.list',
    method: 'get',
    path: '/orgs/{org}/repositories',
    summary: 'Repositories of an organisation that you may know of.',
    needs: 'nothing',
    params: orgParams,
    answer: listOf(repositorySchema),
    async run({ context, identity, params }) {
      const items = [...context.repositories()]
        .filter((one) => one.org === params.org && context.access.mayKnow(one, identity))
        .map((one) => describeRepository(context, one, identity));
      return { items };
    },
  }),
  operation({
    id: 'repositories.get',
    method: 'get',
    path: '/orgs/{org}/repositories/{repository}',
    summary: 'One repository; with how much is published in it for administrators.',
    needs: 'nothing',
    params: repositoryParams,
    answer: repositorySchema.extend({
      usage: z.object({ bytes: z.int(), files: z.int(), versions: z.int(), packages: z.int() }).optional(),
    }),
    async run(call) {
      const repository = repositoryOf(call, call.params);
      const hosting = call.context.packages.hostingOf(repository);
      await hosting?.ready();
      const mayCount = hosting && call.context.access.mayDo(repository, call.identity, 'admin', undefined);
      return {
        ...describeRepository(call.context, repository, call.identity),
        ...(mayCount ? { usage: hosting.usage() } : {}),
      };
    },
  }),
  operation({
    id: 'packages.list',
    method: 'get',
    path: '/orgs/{org}/repositories/{repository}/packages',
    summary: 'Packages published in a repository that you may read, by name.',
    needs: 'nothing',
    params: repositoryParams,
    query: z.object({ after: z.string().optional(), containing: z.string().optional(), limit }),
    answer: listOf(packageSchema),
    async run(call) {
      const { packages, next } = await listPackages(
        call.context.packages,
        repositoryOf(call, call.params),
        call.identity,
        {
          limit: call.query.limit,
          ...(call.query.after === undefined ? {} : { after: call.query.after }),
          ...(call.query.containing === undefined ? {} : { containing: call.query.containing }),
        },
      );
      return { items: packages, ...(next === undefined ? {} : { next }) };
    },
  }),
  operation({
    id: 'packages.get',
    method: 'get',
    path: '/orgs/{org}/repositories/{repository}/packages/{name}',
    summary: 'A package with its versions and their files.',
    needs: 'nothing',
    params: packageParams,
    answer: wholePackageSchema,
    run: (call) => readPackage(call.context.packages, repositoryOf(call, call.params), call.identity, call.params.name),
  }),
  operation({
    id: 'packages.delete',
    method: 'delete',
    path: '/orgs/{org}/repositories/{repository}/packages/{name}',
    summary: 'Takes all versions of a package away, for good.',
    needs: 'nothing',
    params: packageParams,
    async run(call) {
      await deleteVersions(call.context.packages, repositoryOf(call, call.params), call, call.params.name);
    },
  }),
  operation({
    id: 'versions.delete',
    method: 'delete',
    path: '/orgs/{org}/repositories/{repository}/packages/{name}/versions/{version}',
    summary: 'Takes a version away. It can never be published again with other bytes.',
    needs: 'nothing',
    params: versionParams,
    async run(call) {
      await deleteVersions(
        call.context.packages,
        repositoryOf(call, call.params),
        call,
        call.params.name,
        call.params.version,
      );
    },
  }),
  operation({
    id: 'versions.yank',
    method: 'patch',
    path: '/orgs/{org}/repositories/{repository}/packages/{name}/versions/{version}',
    summary: 'Yanks a version, or takes that back: it is there for whoever names it, and nobody chooses it.',
    needs: 'nothing',
    params: versionParams,
    body: z.strictObject({ yanked: z.boolean() }),
    async run(call) {
      const { name, version } = call.params;
      await setYanked(call.context.packages, repositoryOf(call, call.params), call, name, version, call.body.yanked);
    },
  }),
  operation({
    id: 'versions.promote',
    method: 'post',
    path: '/orgs/{org}/repositories/{repository}/packages/{name}/versions/{version}/promote',
    summary:
      'Publishes a version in another repository, or at an upstream in the protocol of its format. Nothing is sent to Larder again.',
    needs: 'nothing',
    params: versionParams,
    body: z.union([
      z.strictObject({ to: z.string().describe('`org/repository`, or a repository of the same organisation.') }),
      z.strictObject({ upstream: z.string().describe('Name of an upstream of the configuration with credentials.') }),
    ]),
    answer: z.object({ changed: z.boolean(), message: z.string() }),
    async run(call) {
      const { context, identity, params, body } = call;
      const from = repositoryOf(call, params);
      if ('upstream' in body) {
        // What leaves the organisation leaves it for good.
        if (!context.access.mayDo(from, identity, 'admin', params.name)) {
          throw new Problem(
            'forbidden',
            `Publishing ${params.name} at ${body.upstream} needs the right admin for it in ${from.id}.`,
          );
        }
        const { status, message } = await context.release(from, body.upstream, params.name, params.version);
        return { changed: status < 300, message };
      }
      const [org, repository] = body.to.includes('/') ? body.to.split('/') : [params.org, body.to];
      if (org !== params.org && context.access.orgs.includes(org ?? '')) await context.access.ready(org ?? '');
      const to = repositoryOf(call, { org: org ?? '', repository: repository ?? '' });
      const { changed } = await promote(context.packages, from, to, call, params.name, params.version);
      return { changed, message: changed ? `Published in ${to.id}.` : `It was in ${to.id} already.` };
    },
  }),
  operation({
    id: 'explain.name',
    method: 'get',
    path: '/orgs/{org}/repositories/{repository}/explain',
    summary: 'Which sources are asked about a name and which are not, why, and what you may do with it.',
    needs: 'nothing',
    params: repositoryParams,
    query: z.object({ name: z.string() }),
    answer: z.object({
      repository: z.string(),
      name: z.string(),
      may: z.array(actionSchema),
      sources: z.array(explainedSchema),
    }),
    run: (call) => explain(call.context.packages, repositoryOf(call, call.params), call.identity, call.query.name),
  }),
  operation({
    id: 'users.list',
    method: 'get',
    path: '/orgs/{org}/users',
    summary: 'Users and service accounts.',
    needs: 'admin',
    params: orgParams,
    answer: listOf(userSchema),
    run: async ({ context, params }) => ({ items: await context.access.administration.users(params.org) }),
  }),
  operation({
    id: 'users.create',
    method: 'post',
    path: '/orgs/{org}/users',
    summary: 'Creates a user or a service account.',
    needs: 'admin',
    params: orgParams,
    body: z.strictObject({ name: z.string().min(1).max(100), service: z.boolean().default(false) }),
    status: 201,
    answer: z.object({ name: z.string() }),
    async run(call) {
      await call.context.access.administration.createUser(call.params.org, call.body, signatureOf(call));
      return { name: call.body.name };
    },
  }),
  operation({
    id: 'users.delete',
    method: 'delete',
    path: '/orgs/{org}/users/{user}',
    summary: 'Removes a user. Their tokens stop counting at once.',
    needs: 'admin',
    params: orgParams.extend({ user: z.string() }),
    run: (call) => call.context.access.administration.removeUser(call.params.org, call.params.user, signatureOf(call)),
  }),
  operation({
    id: 'users.password',
    method: 'put',
    path: '/orgs/{org}/users/{user}/password',
    summary: 'Sets a password to sign in with, or takes it away.',
    needs: 'admin',
    params: orgParams.extend({ user: z.string() }),
    body: z.strictObject({ password: z.string().min(12).max(200).nullable() }),
    run: (call) =>
      call.context.access.administration.setPassword(
        call.params.org,
        call.params.user,
        call.body.password ?? undefined,
        signatureOf(call),
      ),
  }),
  operation({
    id: 'teams.list',
    method: 'get',
    path: '/orgs/{org}/teams',
    summary: 'Teams and their members.',
    needs: 'admin',
    params: orgParams,
    answer: listOf(z.object({ name: z.string(), members: z.array(z.string()) })),
    async run({ context, params }) {
      const teams = await context.access.administration.teams(params.org);
      return { items: Object.entries(teams).map(([name, members]) => ({ name, members })) };
    },
  }),
  operation({
    id: 'teams.add',
    method: 'put',
    path: '/orgs/{org}/teams/{team}/members/{user}',
    summary: 'Makes a user member of a team.',
    needs: 'admin',
    params: orgParams.extend({ team: z.string(), user: z.string() }),
    run: (call) =>
      call.context.access.administration.addMember(
        call.params.org,
        call.params.team,
        call.params.user,
        signatureOf(call),
      ),
  }),
  operation({
    id: 'teams.remove',
    method: 'delete',
    path: '/orgs/{org}/teams/{team}/members/{user}',
    summary: 'Ends a membership.',
    needs: 'admin',
    params: orgParams.extend({ team: z.string(), user: z.string() }),
    run: (call) =>
      call.context.access.administration.removeMember(
        call.params.org,
        call.params.team,
        call.params.user,
        signatureOf(call),
      ),
  }),
  operation({
    id: 'rules.list',
    method: 'get',
    path: '/orgs/{org}/rules',
    summary: 'Who may do what: rules of the configuration and those added here.',
    needs: 'admin',
    params: orgParams,
    answer: listOf(knownRuleSchema),
    run: async ({ context, params }) => ({ items: await context.access.administration.rules(params.org) }),
  }),
  operation({
    id: 'rules.create',
    method: 'post',
    path: '/orgs/{org}/rules',
    summary: 'Adds a rule. Rules add up.',
    needs: 'admin',
    params: orgParams,
    body: ruleSchema,
    status: 201,
    answer: knownRuleSchema,
    run: (call) => call.context.access.administration.addRule(call.params.org, defined(call.body), signatureOf(call)),
  }),
  operation({
    id: 'rules.delete',
    method: 'delete',
    path: '/orgs/{org}/rules/{id}',
    summary: 'Takes a rule away that was added here.',
    needs: 'admin',
    params: orgParams.extend({ id: z.string() }),
    run: (call) => call.context.access.administration.removeRule(call.params.org, call.params.id, signatureOf(call)),
  }),
  operation({
    id: 'projects.list',
    method: 'get',
    path: '/orgs/{org}/projects',
    summary: 'Source projects, whose packages inherit their visibility and members.',
    needs: 'admin',
    params: orgParams,
    answer: listOf(knownProjectSchema),
    run: async ({ context, params }) => ({ items: await context.access.administration.projects(params.org) }),
  }),
  operation({
    id: 'projects.set',
    method: 'put',
    path: '/orgs/{org}/projects/{project}',
    summary: 'Creates a project, or replaces what is said about it.',
    needs: 'admin',
    params: orgParams.extend({ project: z.string() }),
    body: projectSchema,
    run: (call) =>
      call.context.access.administration.setProject(
        call.params.org,
        call.params.project,
        { ...defined(call.body), members: defined(call.body.members) },
        signatureOf(call),
      ),
  }),
  operation({
    id: 'projects.delete',
    method: 'delete',
    path: '/orgs/{org}/projects/{project}',
    summary: 'Forgets a project. Its packages follow the rules of the organisation again.',
    needs: 'admin',
    params: orgParams.extend({ project: z.string() }),
    run: (call) =>
      call.context.access.administration.removeProject(call.params.org, call.params.project, signatureOf(call)),
  }),
  operation({
    id: 'tokens.list',
    method: 'get',
    path: '/orgs/{org}/tokens',
    summary: "Tokens: one's own, or of everybody for administrators. Never the token itself.",
    needs: 'member',
    params: orgParams,
    query: z.object({ user: z.string().optional() }),
    answer: listOf(tokenSchema),
    async run({ context, identity, params, query }) {
      const all = context.access.mayAdminister(params.org, identity);
      const user = all ? query.user : identity.name;
      return { items: await context.access.administration.tokens(params.org, user) };
    },
  }),
  operation({
    id: 'tokens.create',
    method: 'post',
    path: '/orgs/{org}/tokens',
    summary: 'Creates a token. It is told this once.',
    needs: 'member',
    params: orgParams,
    body: newTokenSchema,
    status: 201,
    answer: z.object({ token: z.string(), facts: tokenSchema }),
    run(call) {
      const { context, identity, params, body } = call;
      const user = body.user ?? identity.name ?? '';
      const isAdministrator = context.access.mayAdminister(params.org, identity);
      if (user !== identity.name && !isAdministrator) {
        throw new Problem('forbidden', `A token for ${user} can be created by an administrator of ${params.org} only.`);
      }
      // A token that may little must not beget one that may more.
      if (identity.token && !isAdministrator) {
        throw new Problem(
          'forbidden',
          'This token may not create others: sign in at /ui/account, or ask an administrator.',
        );
      }
      const { expiresInDays, ...rest } = defined(body);
      const expiresAt = expiresInDays === undefined ? undefined : Date.now() + expiresInDays * 86_400_000;
      return context.access.administration.createToken(params.org, { ...rest, user, expiresAt }, signatureOf(call));
    },
  }),
  operation({
    id: 'tokens.revoke',
    method: 'delete',
    path: '/orgs/{org}/tokens/{id}',
    summary: 'Ends a token, at once and everywhere.',
    needs: 'member',
    params: orgParams.extend({ id: z.string() }),
    async run(call) {
      const { context, identity, params } = call;
      const own = await context.access.administration.tokens(params.org, identity.name);
      if (!own.some(({ id }) => id === params.id) && !context.access.mayAdminister(params.org, identity)) {
        throw new Problem('not_found', `There is no token ${params.id}.`);
      }
      refuseUnlessMayEnd(identity, params.id);
      await context.access.administration.revokeToken(params.org, params.id, signatureOf(call));
    },
  }),
  operation({
    id: 'events.list',
    method: 'get',
    path: '/orgs/{org}/events',
    summary: 'The audit log, newest first.',
    needs: 'admin',
    params: orgParams,
    query: z.object({
      repository: z.string().optional().describe('Of one repository; `-`: of users, tokens and rules; `-webhooks`.'),
      before: z.coerce.number().int().optional().describe('With `repository`: number to go on before.'),
      until: z.string().optional().describe('Nothing later than this; ISO 8601.'),
      limit,
    }),
    answer: z.object({ items: z.array(auditEventSchema) }),
    async run({ context, params, query }) {
      const items = [];
      for await (const event of context.audit.events(params.org, query)) {
        items.push(event);
        if (items.length >= query.limit) break;
      }
      return { items };
    },
  }),
  operation({
    id: 'missing.list',
    method: 'get',
    path: '/orgs/{org}/missing',
    summary: 'What was asked for and is not here, where no upstream may be asked.',
    needs: 'admin',
    params: orgParams,
    answer: listOf(missingSchema),
    run: async ({ context, params }) => ({ items: await context.missing.list(params.org) }),
  }),
  operation({
    id: 'missing.clear',
    method: 'delete',
    path: '/orgs/{org}/missing',
    summary: 'Forgets all of it.',
    needs: 'admin',
    params: orgParams,
    answer: z.object({ cleared: z.int() }),
    run: async ({ context, params }) => ({ cleared: await context.missing.clear(params.org) }),
  }),
  operation({
    id: 'sets.list',
    method: 'get',
    path: '/orgs/{org}/sets',
    summary: 'Sets that were recorded.',
    needs: 'member',
    params: orgParams,
    answer: listOf(recordedSetSchema),
    run: async ({ context, params }) => ({ items: await context.recordings.list(params.org) }),
  }),
  operation({
    id: 'sets.read',
    method: 'get',
    path: '/orgs/{org}/sets/{set}',
    summary: 'One of them.',
    needs: 'member',
    params: orgParams.extend({ set: z.string() }),
    answer: recordedSetSchema,
    async run({ context, params }) {
      const found = await context.recordings.find(params.org, params.set);
      if (!found) throw new Problem('not_found', `There is no set ${params.set} with anything of ${params.org}.`);
      return found;
    },
  }),
  operation({
    id: 'sets.delete',
    method: 'delete',
    path: '/orgs/{org}/sets/{set}',
    summary: 'Forgets what was recorded; what is stored stays.',
    needs: 'admin',
    params: orgParams.extend({ set: z.string() }),
    run: ({ context, params }) => context.recordings.remove(params.org, params.set),
  }),
  operation({
    id: 'keepWarm.read',
    method: 'get',
    path: '/orgs/{org}/repositories/{repository}/keep-warm',
    summary: 'How keeping it warm went last.',
    needs: 'admin',
    params: repositoryParams,
    answer: keepWarmSchema,
    run: async (call) => warmOf(call, call.params, 'state'),
  }),
  operation({
    id: 'keepWarm.run',
    method: 'post',
    path: '/orgs/{org}/repositories/{repository}/keep-warm',
    summary: 'Refreshes what is used, now instead of at its time.',
    needs: 'admin',
    params: repositoryParams,
    status: 202,
    answer: keepWarmSchema,
    run: async (call) => warmOf(call, call.params, 'run'),
  }),
  operation({
    id: 'webhooks.list',
    method: 'get',
    path: '/orgs/{org}/webhooks',
    summary: 'Who is told of what happens.',
    needs: 'admin',
    params: orgParams,
    answer: listOf(webhookSchema),
    run: async ({ context, params }) => ({ items: await context.webhooks.list(params.org) }),
  }),
  operation({
    id: 'webhooks.create',
    method: 'post',
    path: '/orgs/{org}/webhooks',
    summary: 'Tells somebody of what happens from now on.',
    needs: 'admin',
    params: orgParams,
    body: newWebhookSchema,
    status: 201,
    answer: webhookSchema,
    run: (call) => call.context.webhooks.create(call.params.org, call.body, signatureOf(call)),
  }),
  operation({
    id: 'webhooks.delete',
    method: 'delete',
    path: '/orgs/{org}/webhooks/{id}',
    summary: 'Tells them no more.',
    needs: 'admin',
    params: orgParams.extend({ id: z.string() }),
    run: (call) => call.context.webhooks.remove(call.params.org, call.params.id, signatureOf(call)),
  }),
  operation({
    id: 'webhooks.deliveries',
    method: 'get',
    path: '/orgs/{org}/webhooks/{id}/deliveries',
    summary: 'How telling them went, newest first.',
    needs: 'admin',
    params: orgParams.extend({ id: z.string() }),
    answer: listOf(deliverySchema),
    run: async ({ context, params }) => ({ items: await context.webhooks.deliveries(params.org, params.id) }),
  }),
  operation({
    id: 'webhooks.redeliver',
    method: 'post',
    path: '/orgs/{org}/webhooks/{id}/deliveries/{delivery}',
    summary: 'Sends a delivery once more.',
    needs: 'admin',
    params: orgParams.extend({ id: z.string(), delivery: z.string() }),
    answer: deliverySchema,
    run: ({ context, params }) => context.webhooks.redeliver(params.org, params.id, params.delivery),
  }),
];

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without what was left out. */
function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Defined<T>;
}
