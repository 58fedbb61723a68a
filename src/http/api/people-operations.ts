/** Users, service accounts and teams. */
import { z } from 'zod';
import { type Operation, operation } from './route.ts';
import { listOf, orgParams, signatureOf } from './shapes.ts';

const userSchema = z
  .object({
    name: z.string(),
    kind: z.enum(['user', 'service']),
    teams: z.array(z.string()),
    hasPassword: z.boolean(),
    from: z.enum(['configuration', 'journal']),
  })
  .meta({ id: 'User' });

/** In the order of the OpenAPI document. */
export const peopleOperations: readonly Operation[] = [
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
];
