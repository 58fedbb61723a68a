/** Who is told of what happens. */
import { z } from 'zod';
import { type Operation, operation } from './route.ts';
import { listOf, orgParams, signatureOf } from './shapes.ts';
import { deliverySchema, newWebhookSchema, webhookSchema } from './webhooks.ts';

/** In the order of the OpenAPI document. */
export const webhookOperations: readonly Operation[] = [
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
