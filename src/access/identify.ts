/** The pass of those who show nothing. */

/** The token of those who have none. It opens nothing that is not open to everybody, so it may be known to everybody. */
export const anonymousPass = 'anonymous';

/** Whether a request says no more about its sender than one without credentials. */
export function isAnonymous(authorization: string | undefined): boolean {
  return authorization === undefined || authorization === `Bearer ${anonymousPass}`;
}
