/** The audit log: what was changed, by whom, and when, as the journals have it. Nothing here can change it. */
import { z } from 'zod';

export const auditEventSchema = z
  .object({
    journal: z
      .string()
      .describe('`org/repository`; `org/-` for users, tokens and rules, `org/-webhooks` for webhooks.'),
    number: z.int().describe('Of the object in the journal.'),
    index: z.int().describe('Its place in the object.'),
    at: z.string().describe('ISO 8601.'),
    by: z.string().describe('Who: `user:acme/alice`, `service:acme/ci`, `ci:ISSUER:SUBJECT`, `system`.'),
    token: z.string().optional().describe('Id of the token that was shown.'),
    requestId: z.string().optional(),
    action: z.string().describe('`publish`, `delete`, `promote`, `token.create`, …'),
    name: z.string().optional().describe('The package, user or token that it is about.'),
    versions: z.array(z.string()).optional(),
    files: z.array(z.object({ path: z.string(), digest: z.string().optional() })).optional(),
  })
  .meta({ id: 'AuditEvent' });

export type AuditEvent = z.output<typeof auditEventSchema>;

export interface Audit {
  /** Newest first. `repository`: a name, `-`, or `-webhooks`; absent: all of the organisation's. */
  events(
    org: string,
    options: {
      readonly repository?: string | undefined;
      readonly before?: number | undefined;
      readonly until?: string | undefined;
    },
  ): AsyncIterable<AuditEvent>;
}
