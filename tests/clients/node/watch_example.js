// Bob watches what Alice posts. Usage: node watch_example.js TARGET COUNT [HEARTBEAT_SECONDS]
'use strict';

const { Client } = require('./klatch_client.js');

async function post(alice, count) {
  for (let number = 1; number <= count; number++) {
    await alice.publishUpdate({ update: { groups: ['club'], text: `Move ${number}` } }, 60_000);
  }
}

async function main([target, count, heartbeatSeconds = '10']) {
  const client = new Client({ target });
  const alice = client.person('alice');
  const bob = client.person('bob');
  await alice.createGroup({ group: { id: 'club' } });
  bob.see((await alice.addMembers({ group: 'club', members: [{ person: 'bob' }] })).tokens);
  // A watch that begins where a page ends shows all that comes after it.
  const page = await bob.listHomeTimeline();
  const posting = post(alice, Number(count));
  const watch = bob.watch({ resumeToken: page.watch_token, heartbeatSeconds: Number(heartbeatSeconds) });
  for await (const { published } of watch) {
    if (!published) continue;
    console.log(published.text);
    if (published.text === `Move ${count}`) break;
  }
  await posting;
  client.close();
}

main(process.argv.slice(2));
