// Alice and Bob share a group: what klatch_client does for an app. Usage: node example.js TARGET [TIMEOUT_SECONDS]
'use strict';

const { Client, KlatchError } = require('./klatch_client.js');

// What a call that must fail fails with.
async function failureOf(call) {
  try {
    await call;
  } catch (error) {
    if (error instanceof KlatchError) return error;
    throw error;
  }
  throw new Error('the call was to fail');
}

async function play(client) {
  const alice = client.person('alice');
  const bob = client.person('bob');
  await alice.createGroup({ group: { id: 'club' } });
  await alice.addMembers({ group: 'club', members: [{ person: 'bob' }] });

  let posted;
  for (let move = 1; move <= 5; move++) {
    posted = await alice.publishUpdate({ update: { groups: ['club'], text: `Move ${move}` } });
  }
  bob.see(alice.tokens); // What Alice has written, Bob's next reads show.
  const texts = [];
  for await (const update of bob.items('ListHomeTimeline', { page_size: 2 })) texts.push(update.text);
  console.log(`home: ${texts.join(', ')}`);

  await alice.editUpdate({ update_id: posted.update_id, update: { text: 'Move 5, corrected' } });
  const batch = await alice.batchPublishUpdates({ requests: [
    { update: { groups: ['club'], text: 'Check' } }, { update: { groups: ['chess'], text: 'Mate' } }] });
  console.log(`batch: ${batch.results.map((result) => result.outcome).join(', ')}`);
  const page = await alice.listGroupTimeline({ group: 'club', page_size: 2 });
  console.log(`group: ${page.updates.map((update) => update.text).join(', ')}`);

  await alice.removeMembers({ group: 'club', persons: ['bob'] });
  console.log(`bob: ${(await failureOf(bob.listGroupTimeline({ group: 'club' }))).code}`);
  const refused = await failureOf(alice.publishUpdate({ update: { groups: ['club'] } }));
  for (const [field, what] of Object.entries(refused.fields)) console.log(`${refused.code}: ${field} ${what}`);
}

async function main([target, timeoutSeconds = '10']) {
  const client = new Client({ target, timeoutMs: Number(timeoutSeconds) * 1_000 });
  try {
    await play(client);
  } catch (error) {
    console.error(error instanceof KlatchError ? error.message : error);
    process.exitCode = 1;
  } finally {
    client.close();
  }
}

main(process.argv.slice(2));
