/** The audit log. */
import { z } from 'zod';
import { auditEventSchema } from './audit.ts';
import { type Operation, operation } from './route.ts';
import { limit, orgParams } from './shapes.ts';

/** In the order of the OpenAPI document. */
export const eventOperations: readonly Operation[] = [
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
];
