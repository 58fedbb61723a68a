/** The OpenAPI document, made from the very schemas that requests are checked with. */
import { z } from 'zod';
import type { Operation } from './route.ts';

type Json = Record<string, unknown>;

/** Of OpenAPI 3.1, whose schemas are JSON Schema 2020-12. */
export function openApi(
  operations: readonly Operation[],
  { version, origin }: { readonly version: string; readonly origin: string },
): Json {
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    const path = `/api/v1${operation.path}`;
    paths[path] = { ...paths[path], [operation.method]: describe(operation) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Larder administration',
      version,
      description: 'Organisations, repositories, packages, tokens and rights. Every change is in the audit log.',
    },
    servers: [{ url: origin }],
    security: [{ token: [] }, { basic: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token of `larder token create`.' },
        basic: { type: 'http', scheme: 'basic', description: 'Any user name and a token as password.' },
      },
    },
  };
}

function describe({ id, summary, needs, params, query, body, answer, status }: Operation): Json {
  const responses: Json = {
    [status]: answer
      ? { description: 'Done.', content: { 'application/json': { schema: schemaOf(answer, 'output') } } }
      : { description: 'Done.' },
    default: {
      description: 'What went wrong and what to do.',
      content: { 'application/json': { schema: schemaOf(problemSchema, 'output') } },
    },
  };
  return {
    operationId: id,
    summary,
    tags: [id.split('.')[0]],
    ...(needs === 'nothing' ? { security: [{}] } : {}),
    parameters: [...parameters(params, 'path'), ...parameters(query, 'query')],
    ...(body
      ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body, 'input') } } } }
      : {}),
    responses,
  };
}

export const problemSchema = z.object({ error: z.string(), code: z.string() }).meta({ id: 'Problem' });

function parameters(schema: z.ZodObject | undefined, place: 'path' | 'query'): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...one }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: one,
  }));
}

/** Without the names that zod would refer to: every schema stands by itself. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, reused: 'inline', target: 'draft-2020-12' }) as Json;
  return json;
}
