/** What is published, and which source is asked about a name. */
import { z } from 'zod';
import { Problem } from '../../core/problem.ts';
import { explain } from '../../pipeline/explain.ts';
import { deleteVersions, listPackages, promote, readPackage, setYanked } from '../../pipeline/packages.ts';
import { type Operation, operation } from './route.ts';
import { actionSchema, limit, listOf, repositoryOf, repositoryParams, time } from './shapes.ts';

const packageParams = z.object({
  org: z.string(),
  repository: z.string(),
  name: z.string().describe('Slashes percent-encoded.'),
});
const versionParams = packageParams.extend({ version: z.string() });
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

/** In the order of the OpenAPI document. */
export const packageOperations: readonly Operation[] = [
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
];
