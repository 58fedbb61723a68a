/** Takes the spans that Larder sends, as a collector of OpenTelemetry does, and counts them. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Collector {
  readonly url: string;
  readonly spans: () => number;
  close(): Promise<void>;
}

interface Export {
  readonly resourceSpans?: readonly { readonly scopeSpans?: readonly { readonly spans?: readonly unknown[] }[] }[];
}

export async function startCollector(violation: (what: string) => void): Promise<Collector> {
  let spans = 0;
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      try {
        const sent = JSON.parse(Buffer.concat(pieces).toString()) as Export;
        for (const resource of sent.resourceSpans ?? []) {
          for (const scope of resource.scopeSpans ?? []) spans += scope.spans?.length ?? 0;
        }
      } catch (error) {
        violation(`the collector of traces was sent something else: ${String(error)}`);
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: () => spans,
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
