// A thin client of Klatch: retries, reads that see one's writes, pages and watches, on top of gRPC.
//
//   const client = new Client({ target: '127.0.0.1:7420' });
//   const alice = client.person('alice');
//   await alice.publishUpdate({ update: { groups: ['club'], text: 'Knights at eight?' } });
//   for await (const update of alice.items('ListHomeTimeline')) console.log(update.author, update.text);
//   client.close();
//
// It needs @grpc/grpc-js, @grpc/proto-loader, and the API's proto files, by default in the folder "proto" beside
// this file. Fields have the API's own names; 64-bit numbers and enumerators are strings. Every call has a
// timeout. Who closes the watches and then the client leaves nothing that runs on.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const timers = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const TIMEOUT_MS = 10_000; // Of a call with all its tries, unless said otherwise.
const TRY_MS_MAX = 10_000; // The server waits no longer.
const PAUSE_MS_FIRST = 100; // Before the second try, where the server names no time; doubles up to the maximum.
const PAUSE_MS_MAX = 2_000;
const TOKENS_MAX = 128; // The server takes no more.
const WATCH_EVENTS_MAX = 65_536; // How many events a watch remembers from one resume token to the next.
// The API's, and one that has google/rpc/status.proto; the second is where Debian keeps it.
const PROTO_FOLDERS = [path.join(__dirname, 'proto'), '/usr/share/gocode/src/github.com/gogo/googleapis'];

const OPTIONS = { 'grpc.enable_http_proxy': 0, 'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000 };
const UNKNOWN_CODES = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'INTERNAL', 'DATA_LOSS', 'UNKNOWN', 'CANCELLED'];
const DETAIL_TYPES = ['BadRequest', 'ErrorInfo', 'RetryInfo'].map((name) => `google.rpc.${name}`);

const between = (low, high) => low + Math.random() * (high - low);

// Why a call failed, after all its tries. code: the name of gRPC's. reason: of google.rpc.ErrorInfo, or "".
// fields: what is wrong with which field of the request. retryAfterMs: if the server said so. tries: how many
// there were. unknown: whether it may have had its effect all the same; then repeat it with that request_id.
class KlatchError extends Error {
  constructor(code, message, details = [], tries = 1, before = undefined) {
    super(`${code}: ${message}` + (tries > 1 ? ` (try ${tries}, after ${before.code}: ${before.reported})` : ''));
    Object.assign(this, { name: 'KlatchError', code, reported: message, reason: '', fields: {}, tries });
    for (const { field_violations: violations, reason, retry_delay: delay } of details) {
      for (const violation of violations ?? []) this.fields[violation.field] = violation.description;
      if (reason) this.reason = reason;
      if (delay) this.retryAfterMs = Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
    }
    this.unknown = Boolean(before?.unknown) || (this.reason !== 'NOT_SENT' && UNKNOWN_CODES.includes(code));
  }

  // Milliseconds to wait before the next try; none if none would help. Random, so that clients spread.
  pauseMs(growing) {
    if (this.retryAfterMs !== undefined) return this.retryAfterMs + between(0, growing);
    // OK and CANCELLED are the ends of a watch's stream; a call doesn't fail with them by itself.
    const again = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OK', 'CANCELLED'].includes(this.code);
    return again ? between(growing / 2, growing) : undefined;
  }
}

// A channel to one Klatch, and one of its namespaces; empty is the server's first.
class Client {
  constructor({ target = '127.0.0.1:7420', namespace = '', timeoutMs = TIMEOUT_MS, credentials, protos } = {}) {
    this.namespace = namespace;
    this._timeoutMs = timeoutMs;
    const includeDirs = protos ?? PROTO_FOLDERS;
    const services = includeDirs.map((folder) => path.join(folder, 'klatch', 'v1')).filter(fs.existsSync)
      .flatMap((folder) => fs.readdirSync(folder)).filter((file) => file.endsWith('_service.proto'));
    this._types = protoLoader.loadSync(
      [...services.map((file) => `klatch/v1/${file}`), 'google/rpc/error_details.proto', 'google/rpc/status.proto'],
      { includeDirs, keepCase: true, longs: String, enums: String, defaults: true, oneofs: true });
    this.methods = {};
    this._Person = class extends Person {};
    for (const [name, type] of Object.entries(this._types)) {
      if (!name.startsWith('klatch.v1.') || !name.endsWith('Service')) continue;
      Object.assign(this.methods, type);
      for (const rpc of Object.keys(type)) {
        this._Person.prototype[rpc[0].toLowerCase() + rpc.slice(1)] = function call(fields, timeoutMs) {
          return this.call(rpc, fields, timeoutMs);
        };
      }
    }
    this._grpc = new grpc.Client(target, credentials ?? grpc.credentials.createInsecure(), OPTIONS);
  }

  close() {
    this._grpc.close();
  }

  // Calls in the name of a person, who sees what those tokens stand for. Every call of the API is a method.
  person(actor, tokens = []) {
    return new this._Person(this, actor, tokens);
  }

  // The response to a whole request, sent as it is, as often as it helps within the timeout.
  async call(name, request, timeoutMs = this._timeoutMs) {
    const deadline = Date.now() + timeoutMs;
    let growing = PAUSE_MS_FIRST;
    let failed;
    for (let tries = 1; ; tries++) {
      try {
        return await this._try(name, request, Math.min(deadline, Date.now() + TRY_MS_MAX), tries > 1);
      } catch (error) {
        failed = this.errorOf(error, tries, failed);
      }
      const pause = failed.pauseMs(growing);
      if (pause === undefined || Date.now() + pause >= deadline) throw failed;
      await timers.setTimeout(pause);
      growing = Math.min(growing * 2, PAUSE_MS_MAX);
    }
  }

  _try(name, request, deadline, waitForReady) {
    const { path: to, requestSerialize, responseDeserialize } = this.methods[name];
    const metadata = new grpc.Metadata({ waitForReady });
    return new Promise((resolve, reject) => {
      this._grpc.makeUnaryRequest(to, requestSerialize, responseDeserialize, request, metadata, { deadline },
        (error, response) => (error ? reject(error) : resolve(response)));
    });
  }

  stream(name, request, waitForReady) {
    const { path: to, requestSerialize, responseDeserialize } = this.methods[name];
    const metadata = new grpc.Metadata({ waitForReady });
    return this._grpc.makeServerStreamRequest(to, requestSerialize, responseDeserialize, request, metadata, {});
  }

  // What gRPC reports, as a KlatchError; other errors are thrown as they are.
  errorOf(error, tries, before) {
    if (!error.metadata) throw error;
    const [serialised] = error.metadata.get('grpc-status-details-bin');
    const details = [];
    for (const any of serialised ? this._types['google.rpc.Status'].deserialize(serialised).details : []) {
      const type = any.type_url.slice(any.type_url.lastIndexOf('/') + 1);
      if (DETAIL_TYPES.includes(type)) details.push(this._types[type].deserialize(any.value));
    }
    return new KlatchError(grpc.status[error.code], error.details, details, tries, before);
  }
}

// One who acts: alice.getUpdate({ update_id: '7' }). Keeps the tokens of what was written through it, the highest
// of each shard, and sends them with its reads: they see it. Hand them on (to a person's next request, to another
// person) by `tokens` and see().
class Person {
  constructor(client, actor, tokens) {
    this.client = client;
    this.actor = actor;
    this._positions = new Map();
    this.see(tokens);
  }

  get tokens() {
    return [...this._positions].map(([shard, position]) => ({ shard, position: String(position) }));
  }

  // From now on reads see what these tokens stand for, too.
  see(tokens) {
    for (const { shard, position } of tokens ?? []) {
      const known = this._positions.get(shard) ?? 0n;
      this._positions.set(shard, BigInt(position) > known ? BigInt(position) : known);
    }
    if (this._positions.size <= TOKENS_MAX) return;
    // Those that were written longest ago have been applied long since.
    const newest = [...this._positions].sort(([, a], [, b]) => (a < b ? 1 : -1)).slice(0, TOKENS_MAX);
    this._positions = new Map(newest);
  }

  async call(name, fields, timeoutMs) {
    const response = await this.client.call(name, this.request(name, fields), timeoutMs);
    this.see(response.tokens);
    if (name === 'BatchPublishUpdates') {
      for (const result of response.results) this.see(result.published?.tokens);
    }
    if (name === 'ImportUpdates') {
      for (const result of response.results) this.see(result.imported?.tokens);
    }
    return response;
  }

  // The responses of a List call, page after page; the timeout is for each.
  async *pages(name, fields = {}, timeoutMs = undefined) {
    for (let pageToken = fields.page_token ?? ''; ;) {
      const page = await this.call(name, { ...fields, page_token: pageToken }, timeoutMs);
      yield page;
      pageToken = page.next_page_token;
      if (!pageToken) return;
    }
  }

  // What a List call lists, over all pages.
  async *items(name, fields = {}, timeoutMs = undefined) {
    const list = this.client.methods[name].responseType.type.field.find((f) => f.label === 'LABEL_REPEATED');
    for await (const page of this.pages(name, fields, timeoutMs)) yield* page[list.name];
  }

  // From a page's watch_token on, or a Watch's resumeToken; from now on if it is empty.
  watch({ resumeToken = '', heartbeatSeconds = 10, patienceMs = 60_000 } = {}) {
    return new Watch(this, resumeToken, heartbeatSeconds, patienceMs);
  }

  // The request of a call with what is filled in by itself.
  request(name, fields = {}) {
    const names = this.client.methods[name].requestType.type.field.map((field) => field.name);
    const unknown = Object.keys(fields).find((field) => !names.includes(field));
    if (unknown !== undefined) throw new TypeError(`${name} has no field ${unknown}`);
    const request = { namespace: this.client.namespace, ...this._own(names), ...fields };
    if (names.includes('tokens')) {
      this.see(fields.tokens);
      request.tokens = this.tokens;
    }
    if (names.includes('requests')) {
      request.requests = (fields.requests ?? []).map((item) => ({ ...this._own(['request_id']), ...item }));
    }
    return request;
  }

  _own(names) {
    return { actor: this.actor, ...(names.includes('request_id') && { request_id: crypto.randomUUID() }) };
  }
}

// The events of a person's home timeline, as they come; for ever, unless closed or failed. A connection that
// breaks, or is silent for three heartbeats, is made again, and the watch goes on where it was: no event twice
// (but for joined_group and left_group), none left out but for what a `gap` says. It throws KlatchError when the
// server refuses, or is not heard again for patienceMs. resumeToken is where to go on behind the events that were
// taken: keep it to go on in another process. Ends with the loop over it, or by close().
class Watch {
  constructor(person, resumeToken, heartbeatSeconds, patienceMs) {
    Object.assign(this, { resumeToken, _person: person, _heartbeatSeconds: heartbeatSeconds });
    Object.assign(this, { _patienceMs: patienceMs, _tries: 0, _taken: new Set(), _closed: false });
  }

  close() {
    this._closed = true;
    this._call?.cancel();
  }

  async *[Symbol.asyncIterator]() {
    const { client } = this._person;
    // With a token from the start, nothing is lost when the first connection breaks early.
    this.resumeToken ||= (await this._person.call('ListHomeTimeline', { page_size: 1 })).watch_token;
    for (let failed, lost; !this._closed;) {
      const request = this._person.request('WatchHomeTimeline',
        { resume_token: this.resumeToken, heartbeat_seconds: this._heartbeatSeconds });
      this._call = client.stream('WatchHomeTimeline', request, this._tries > 0);
      try {
        yield* this._take(messagesOf(this._call, 3_000 * this._heartbeatSeconds));
        failed = new KlatchError('OK', 'the server ended the watch', [], this._tries + 1, failed);
      } catch (error) {
        failed = client.errorOf(error, this._tries + 1, failed);
      }
      if (this._closed) return;
      if (this._tries === 0) lost = Date.now();
      this._tries += 1;
      const pause = failed.pauseMs(Math.min(PAUSE_MS_FIRST * 2 ** this._tries, PAUSE_MS_MAX));
      if (pause === undefined || Date.now() + pause > lost + this._patienceMs) throw failed;
      await timers.setTimeout(pause);
    }
  }

  async *_take(messages) {
    for await (const response of messages) {
      this._tries = 0;
      for (const event of response.events) {
        if (this._isNew(event)) yield event;
      }
      if (response.resume_token) {
        this.resumeToken = response.resume_token;
        this._taken.clear();
      }
    }
  }

  // Whether it was not taken since the last token, behind which a resumed stream begins.
  _isNew({ event, published, edited, deleted }) {
    if (!['published', 'edited', 'deleted'].includes(event)) return true;
    const key = `${event} ${published?.id ?? deleted ?? `${edited.id} ${edited.revision}`}`;
    const known = this._taken.has(key);
    if (this._taken.size < WATCH_EVENTS_MAX) this._taken.add(key);
    return !known;
  }
}

// The messages of a call, which is cancelled when one doesn't come within some time, or at the end.
async function* messagesOf(call, silenceMs) {
  call.on('error', () => {}); // Of a cancelled call nobody waits for it.
  const messages = call[Symbol.asyncIterator]();
  try {
    while (true) {
      const silence = setTimeout(() => call.cancel(), silenceMs);
      const next = await messages.next().finally(() => clearTimeout(silence));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    call.cancel();
  }
}

module.exports = { Client, KlatchError, Person, Watch };
