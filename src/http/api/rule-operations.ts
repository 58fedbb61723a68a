/** Who may do what: rules, and the projects that packages belong to. */
import { z } from 'zod';
import { type Operation, operation } from './route.ts';
import { actionSchema, defined, listOf, orgParams, signatureOf } from './shapes.ts';

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

/** In the order of the OpenAPI document. */
export const ruleOperations: readonly Operation[] = [
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
];
