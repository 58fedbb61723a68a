/** Tokens. */
import { z } from 'zod';
import { refuseUnlessMayEnd } from '../../access/credentials.ts';
import { Problem } from '../../core/problem.ts';
import { type Operation, operation } from './route.ts';
import { actionSchema, defined, listOf, orgParams, signatureOf, time } from './shapes.ts';

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

/** In the order of the OpenAPI document. */
export const tokenOperations: readonly Operation[] = [
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
];
