// The wire between the center and a platform: it carries everything, until it is told to hold a request and lose it.
import { createServer } from 'node:http';

export class Wire {
  /** Carries to `target`, an address that need not answer yet. */
  static async start(target) {
    const wire = new Wire();
    wire.target = target;
    wire.holds = [];
    wire.server = createServer((request, response) => wire.carry(request, response).catch(() => request.socket.destroy()));
    await new Promise(done => wire.server.listen(0, '127.0.0.1', done));
    wire.url = `http://127.0.0.1:${wire.server.address().port}`;
    return wire;
  }

  async carry(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const hold = this.holds.find(held => !held.socket && held.of(request, body.toString()));
    if (hold) hold.socket = request.socket;
    if (hold?.when === 'before') return hold.reached();
    const { host, connection, 'content-length': length, ...headers } = request.headers;
    const answer = await fetch(this.target + request.url, { method: request.method, headers, body: body.length ? body : undefined });
    const content = Buffer.from(await answer.arrayBuffer());
    if (hold) return hold.reached();
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' }).end(content);
  }

  /** Holds the next request `of(request, body)`, `before` the platform sees it or `after` it has done it; resolves then. */
  hold(of, when) {
    return new Promise(reached => this.holds.push({ of, when, reached }));
  }

  /** What is held is lost. */
  lose() {
    for (const { socket } of this.holds) socket?.destroy();
    this.holds = [];
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}
