/** Organisations and their repositories. */
import { z } from 'zod';
import type { Identity } from '../../core/identity.ts';
import type { Repository } from '../../core/repository.ts';
import { knownSources } from '../../pipeline/explain.ts';
import { type ApiContext, type Operation, operation } from './route.ts';
import { listOf, orgParams, repositoryOf, repositoryParams } from './shapes.ts';

const repositorySchema = z
  .object({
    org: z.string(),
    name: z.string(),
    format: z.string(),
    sources: z.array(z.string()).describe('In the order in which they are asked.'),
    hosted: z.boolean().describe('Whether packages can be published in it.'),
  })
  .meta({ id: 'Repository' });
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

/** In the order of the OpenAPI document. */
export const repositoryOperations: readonly Operation[] = [
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
];
