/** What sites without internet need to know: what is missing, what was recorded, what is kept warm. */
import { z } from 'zod';
import { Problem } from '../../core/problem.ts';
import { keepWarmSchema, missingSchema, recordedSetSchema } from './offline.ts';
import { type ApiCall, type Operation, operation } from './route.ts';
import { listOf, orgParams, repositoryOf, repositoryParams } from './shapes.ts';

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

/** In the order of the OpenAPI document. */
export const offlineOperations: readonly Operation[] = [
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
];
