/** What people write about the server, its limits and its storage. */
import { z } from 'zod';
import { parseListen } from './units.ts';
import { count, duration, orUnlimited, rate, size, text } from './values.ts';

/** With less, a client hears so little that it gives up. */
const bandwidth = () =>
  size().refine((bytes) => bytes >= 1000, {
    error: 'is less than 1KB a second; who is to have nothing needs a rule in access',
  });

const burst = z
  .union([z.number(), z.string()], { error: 'needs a whole number' })
  .meta({ title: 'number' })
  .transform((value, context) => {
    const number = /^\d+$/.test(String(value)) ? Number(value) : 0;
    if (number >= 1) return number;
    context.addIssue('is not a whole number from 1');
    return z.NEVER;
  })
  .optional();

/** What one party may take; what is left out says nothing. */
const clientLimits = {
  requests: orUnlimited(rate(), 'a rate such as 50/s').describe(
    'Requests, in the long run; more is answered 429 with `Retry-After`.',
  ),
  burst: burst.describe('Requests that may come at once before that counts. Without it, those of ten seconds.'),
  download: orUnlimited(bandwidth(), 'a size').describe(
    'Bytes per second of answers, all transfers together; more is slowed.',
  ),
  upload: orUnlimited(bandwidth(), 'a size').describe(
    'Bytes per second of request bodies, all transfers together; more is slowed.',
  ),
  transfers: orUnlimited(count(1, 1).unwrap(), 'a number').describe(
    'Requests being answered at the same time; more is answered 429.',
  ),
};

const clientLimitsSchema = z.strictObject(clientLimits);

/** What all clients of an organisation may take, and each of them. */
export const orgLimitsSchema = z.strictObject({
  perAddress: clientLimitsSchema
    .prefault({})
    .describe('What one address may take here, in place of what the server says of it.'),
  perIdentity: clientLimitsSchema
    .prefault({})
    .describe('What one user, service account or CI job may take here, in place of what the server says of it.'),
  total: clientLimitsSchema
    .prefault({})
    .describe('What all clients of the org may take together, so that no other org has to do without.'),
});

const limitsSchema = z.strictObject({
  headerBytes: size().prefault('16KiB').describe('Longest request headers, all together; more is answered 431.'),
  urlBytes: size().prefault('8KiB').describe('Longest request target; more is answered 414.'),
  bodyBytes: size()
    .prefault('10MB')
    .describe('Longest request body that has to be held in memory (searches, audits); more is answered 413.'),
  headersTimeout: duration('30s').describe('How long a client may take to send its request headers.'),
  requestTimeout: duration('5m').describe('How long a client may take to send a whole request.'),
  keepAliveTimeout: duration('75s').describe(
    'How long an idle connection stays open. Longer than the same setting of a load balancer in front, or requests fail now and then.',
  ),
  readerTimeout: duration('2m').describe(
    'How long a client may take nothing of the answer that is being sent to it. One that takes little may stay.',
  ),
  uploadRate: size()
    .prefault('1KB')
    .describe('Bytes per second that have to come of a request body; one that comes slower is answered 408.'),
  uploadWindow: duration('30s').describe(
    'Over how long that is measured. Only time spent waiting for the client counts.',
  ),
  connections: count(10_000, 1).describe(
    'Connections at the same time. For a further one, the one that has been idle for longest is closed; while none is idle, newcomers are.',
  ),
  streams: count(128, 1, 100_000).describe('Requests at the same time on one HTTP/2 connection.'),
  clients: count(50_000, 1, 10_000_000).describe(
    'Addresses that are kept apart while they use what they may, and as many identities; some 300 bytes each. Further ones share.',
  ),
  perAddress: z
    .strictObject({
      ...clientLimits,
      connections: orUnlimited(count(1, 1).unwrap(), 'a number').describe(
        'Connections of one address at the same time. Without it, four of five of all. Those of trusted proxies count for nobody.',
      ),
    })
    .prefault({})
    .describe('What one address may take, in each org anew. Of IPv6 the first 64 bits count. See `docs/limits.md`.'),
  perIdentity: clientLimitsSchema
    .prefault({})
    .describe('What one user, service account or CI job may take, whichever of its tokens it shows.'),
});

/** How clients reach Larder. */
export const serverSchema = z.strictObject({
  listen: z
    .union([z.string(), z.number()], { error: 'needs an address, such as 127.0.0.1:5273' })
    .meta({ title: 'address' })
    .transform((value, context) => {
      const listen = parseListen(value);
      if (listen) return listen;
      context.addIssue('is no address; write HOST:PORT or [IPv6]:PORT; 0.0.0.0:5273 listens on every interface');
      return z.NEVER;
    })
    .prefault('127.0.0.1:5273')
    .describe(
      'Host and port. A port alone means loopback; port 0 lets the operating system choose. Anything but loopback is reachable by others.',
    ),
  publicUrl: text('URL')
    .optional()
    .describe(
      'The address clients use, if it is another one; may have a path. Without it, the Host header counts, and Forwarded headers of trusted proxies.',
    ),
  trustedProxies: z
    .array(text('CIDR block'))
    .prefault([])
    .describe('Address blocks of proxies whose Forwarded and X-Forwarded-* headers are believed, such as 10.0.0.0/8.'),
  handOff: z
    .strictObject({
      path: text('path')
        .regex(/^\/(?:[\w.~-]+\/)+$/, {
          error: 'is no location: write such as /larder-blobs/, with a slash at both ends',
        })
        .prefault('/larder-blobs/')
        .describe('The internal location of the proxy at which it finds `blobs/v1` of `storage.path`.'),
      from: size().prefault('1MiB').describe('Anything smaller is sent by Larder.'),
    })
    .optional()
    .describe(
      'Let a trusted proxy that offers it send large stored files itself (X-Accel-Redirect); see docs/proxies.md.',
    ),
  tls: z
    .strictObject({
      cert: text('path').describe('File with the certificate and its chain, in PEM form.'),
      key: text('path').describe('File with the private key, in PEM form.'),
    })
    .optional()
    .describe('Serve HTTPS, with HTTP/2.'),
  limits: limitsSchema.prefault({}).describe('What one client may ask of the server.'),
  drain: duration('30s').describe('After a signal to stop: how long running transfers may take to finish.'),
  hotMemory: size()
    .prefault('64MiB')
    .describe(
      'Memory for answers of up to 2 MiB that are asked for often. Larger files go through as much again on their way to clients.',
    ),
});

/** Where and how much is kept. */
export const storageSchema = z.strictObject({
  path: text('path')
    .prefault('./data')
    .describe('Folder for everything stored. A relative path starts at the working directory.'),
  maxSize: size()
    .optional()
    .describe('What may be stored; beyond it the least recently used goes. Without it, until the disk is full.'),
  keepFree: size()
    .prefault('256MiB')
    .describe('Left free on the disk. With less than this, answers are passed on without being stored.'),
});
