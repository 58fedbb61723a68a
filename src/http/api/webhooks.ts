/** Who is told of what happens, and how telling them went. */
import { z } from 'zod';
import type { Signature } from '../../core/journal.ts';

export const webhookEvents = ['publish', 'delete', 'yank', 'promote', 'admin', 'block'] as const;

export const webhookSchema = z
  .object({
    id: z.string(),
    url: z.string().describe('Asked with POST; must not be followed elsewhere.'),
    events: z.array(z.enum(webhookEvents)).describe('Empty: all.'),
    repositories: z.array(z.string()).describe('Patterns; empty: all of the organisation.'),
    createdAt: z.string(),
    from: z.enum(['configuration', 'api']),
  })
  .meta({ id: 'Webhook' });

export const newWebhookSchema = z
  .strictObject({
    url: z.url({ protocol: /^https?$/ }),
    secret: z.string().min(16).max(200).describe('Signs every delivery (HMAC-SHA256, as Standard Webhooks has it).'),
    events: z.array(z.enum(webhookEvents)).default([]),
    repositories: z.array(z.string()).default([]),
  })
  .meta({ id: 'NewWebhook' });

export const deliverySchema = z
  .object({
    id: z.string(),
    event: z.string(),
    at: z.string(),
    attempts: z.int(),
    state: z.enum(['waiting', 'delivered', 'failed']),
    status: z.int().optional().describe('Of the last answer.'),
    error: z.string().optional(),
    nextAttemptAt: z.string().optional(),
  })
  .meta({ id: 'Delivery' });

type Read<T> = { readonly [K in keyof T]: T[K] extends (infer One)[] ? readonly One[] : T[K] };

export type Webhook = Read<z.output<typeof webhookSchema>>;
export type NewWebhook = Read<z.output<typeof newWebhookSchema>>;
/** What may be left out is left out. */
export type Delivery = Read<Pick<z.output<typeof deliverySchema>, 'id' | 'event' | 'at' | 'attempts' | 'state'>> & {
  readonly status?: number;
  readonly error?: string;
  readonly nextAttemptAt?: string;
};

export interface Webhooks {
  list(org: string): Promise<readonly Webhook[]>;
  create(org: string, webhook: NewWebhook, by: Signature): Promise<Webhook>;
  /** Throws `not_found`. */
  remove(org: string, id: string, by: Signature): Promise<void>;
  /** Newest first. */
  deliveries(org: string, id: string): Promise<readonly Delivery[]>;
  /** Sends it once more. Throws `not_found`. */
  redeliver(org: string, id: string, delivery: string): Promise<Delivery>;
}
