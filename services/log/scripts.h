#pragma once
// The scripts of services/log/scripts as constants of the program, embedded by the build. Each file
// says what its keys, arguments and answers are; outcome.h reads the answers.
//
// Thread safety: any thread.

#include "common/redis/command.h"

namespace klatch::scripts {

const redis::Script& Publish();
const redis::Script& Edit();
const redis::Script& Delete();
const redis::Script& CreateGroup();
const redis::Script& UpdateGroup();
const redis::Script& DeleteGroup();
const redis::Script& AddMembers();
const redis::Script& RemoveMembers();
const redis::Script& UpdateMember();
const redis::Script& Tick();
const redis::Script& OpenNamespace();
const redis::Script& PublishSeveral();
const redis::Script& Carry();
const redis::Script& Settle();
const redis::Script& TakePending();
const redis::Script& AwaitSettling();
const redis::Script& EditSeveral();
const redis::Script& DeleteSeveral();
const redis::Script& RemoveUpdate();
const redis::Script& Import();
const redis::Script& BeginSync();
const redis::Script& SyncMembers();
const redis::Script& Keep();
const redis::Script& Delivery();

}  // namespace klatch::scripts
