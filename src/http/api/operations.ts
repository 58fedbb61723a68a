/** Every operation of the administration API. */
import { eventOperations } from './event-operations.ts';
import { offlineOperations } from './offline-operations.ts';
import { packageOperations } from './package-operations.ts';
import { peopleOperations } from './people-operations.ts';
import { repositoryOperations } from './repository-operations.ts';
import type { Operation } from './route.ts';
import { ruleOperations } from './rule-operations.ts';
import { tokenOperations } from './token-operations.ts';
import { webhookOperations } from './webhook-operations.ts';

/** In the order of the OpenAPI document. */
export const operations: readonly Operation[] = [
  ...repositoryOperations,
  ...packageOperations,
  ...peopleOperations,
  ...ruleOperations,
  ...tokenOperations,
  ...eventOperations,
  ...offlineOperations,
  ...webhookOperations,
];
