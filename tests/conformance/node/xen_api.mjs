// The npm package xen-api as a client. Reads what to connect to from standard input.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { CancelToken } from 'promise-toolbox'
import { createClient } from 'xen-api'
import { check, done, input, order } from './talk.mjs'

const MIB = 1024 * 1024

console.warn = () => {} // xen-api tells of every retry

function open(settings, options) {
  return createClient({
    allowUnauthorized: true,
    auth: { user: 'root', password: settings.password },
    debounce: 20,
    eventPollDelay: 200,
    url: settings.url,
    ...options,
  })
}

const sha256 = data => createHash('sha256').update(data).digest('hex')
// While one caller logs in again, xen-api asserts at all others (a race that its source tells of): they try again.
async function patiently(call, patience = 10000) {
  for (const end = Date.now() + patience; ; ) {
    try {
      return await call()
    } catch (error) {
      if (error.code !== 'ERR_ASSERTION' || Date.now() > end) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

const plain = record => Object.fromEntries(Object.entries(record))
const byName = (xapi, type, name) =>
  Object.values(xapi.objects.all).find(object => object.$type === type && object.name_label === name)
const disksOf = vm => vm.$VBDs.filter(vbd => vbd.type === 'Disk').map(vbd => vbd.$VDI)

const settings = await input()
const xapi = open(settings)

await check('connects and fetches every object', async () => {
  await xapi.connect()
  await xapi.objectsFetched
  assert.equal(xapi.pool.$type, 'pool')
})

await check('speaks JSON-RPC and XML-RPC with the same answers', async () => {
  const answers = []
  for (const transport of ['json-rpc', 'xml-rpc']) {
    const other = open(settings, { transport, watchEvents: false })
    await other.connect()
    answers.push(await other.call('VM.get_all_records'))
    await other.disconnect()
  }
  // numbers and moments have their own types in each
  const uniform = (_, value) =>
    typeof value === 'number' ? String(value) : /^\d{4}-?\d\d-?\d\dT/.test(value) ? value.replace(/\.000|[-:]/g, '') : value
  const texts = answers.map(answer => JSON.stringify(answer, uniform))
  assert.ok(texts[0] === texts[1], 'they differ')
})

const types = [...new Set(Object.values(xapi.objects.all).map(object => object.$type))]
for (const type of types) {
  if (type === 'session' || type === 'task') continue
  await check(`the cache holds every ${type} as get_all_records tells it`, async () => {
    await xapi.barrier()
    const records = await xapi.call(`${type}.get_all_records`)
    const cached = Object.values(xapi.objects.all).filter(object => object.$type === type)
    assert.deepEqual(cached.map(object => object.$ref).sort(), Object.keys(records).sort())
    for (const object of cached) {
      const [ours, theirs] = [plain(object), { ...records[object.$ref] }]
      for (const volatile of ['last_updated', 'last_active', ...(type === 'pool' ? ['other_config'] : [])]) {
        delete ours[volatile]
        delete theirs[volatile]
      }
      assert.deepEqual(ours, theirs)
    }
  })
}

await check('a change reaches the cache before a barrier does', async () => {
  const vm = byName(xapi, 'VM', 'db')
  await vm.set_name_description('seen')
  assert.equal((await xapi.barrier(vm.$ref)).name_description, 'seen')
})

await check('a map is updated entry by entry, also one that is there already', async () => {
  const vm = byName(xapi, 'VM', 'db')
  await vm.update_other_config('xo:test', 'one')
  await vm.update_other_config('xo:test', 'two')
  assert.equal((await xapi.barrier(vm.$ref)).other_config['xo:test'], 'two')
  await vm.update_other_config('xo:test', null)
  assert.equal((await xapi.barrier(vm.$ref)).other_config['xo:test'], undefined)
})

await check('callAsync: result, void result and failure come out of the task', async () => {
  const vm = byName(xapi, 'VM', 'db')
  const ref = await xapi.callAsync('VM.snapshot', vm.$ref, 'by xen-api')
  const snapshot = await xapi.barrier(ref)
  assert.equal(snapshot.snapshot_of, vm.$ref)
  const disks = disksOf(snapshot)
  assert.equal(await xapi.callAsync('VM.destroy', ref), '')
  for (const disk of disks) await xapi.callAsync('VDI.destroy', disk.$ref)
  await assert.rejects(xapi.callAsync('VM.hard_shutdown', vm.$ref), { code: 'VM_BAD_POWER_STATE' })
  await xapi.barrier()
  assert.equal(xapi.getObjectByRef(ref, undefined), undefined)
})

await check('callAsync: a cancelled call ends in TASK_CANCELLED', async () => {
  const vm = byName(xapi, 'VM', 'web')
  await order({ shutdown: 'web', delay: 60000 })
  let cancel
  const token = new CancelToken(cancel_ => (cancel = cancel_))
  const stopped = xapi.callAsync(token, 'VM.clean_shutdown', vm.$ref)
  setTimeout(cancel, 200)
  await assert.rejects(stopped)
  await order({ shutdown: 'web', delay: 0 })
  assert.equal((await xapi.barrier(vm.$ref)).power_state, 'Running')
})

await check('the underscore names of calls work', async () => {
  const task = await xapi.call('task_create', 'underscore', '')
  await xapi.call('task_set_status', task, 'success')
  await xapi.call('task_destroy', task)
})

const content = Buffer.concat([randomBytes(MIB), Buffer.alloc(2 * MIB), randomBytes(MIB)])
const newDisk = async name => {
  const sr = byName(xapi, 'SR', 'Shared storage')
  const record = { name_label: name, SR: sr.$ref, virtual_size: 4 * MIB, type: 'user', sharable: false, read_only: false, other_config: {} }
  return xapi.call('VDI.create', record)
}
const exported = async (path, query) => {
  const response = await xapi.getResource(path, { query, task: true })
  const data = await buffer(response.body)
  await response.task
  return data
}
const put = async (body, length, path, query) => {
  const stream = Readable.from(body, { objectMode: false })
  if (length !== undefined) stream.length = length
  return xapi.putResource(stream, path, { query, task: true })
}

let disk
await check('putResource: a raw image into a disk, whose task tells when', async () => {
  disk = await newDisk('raw')
  await put([content], content.length, '/import_raw_vdi/', { format: 'raw', vdi: disk })
})
await check('getResource: the raw image comes back', async () => {
  assert.equal(sha256(await exported('/export_raw_vdi/', { format: 'raw', vdi: disk })), sha256(content))
})
let vhd
await check('getResource: a VHD of it', async () => {
  vhd = await exported('/export_raw_vdi/', { format: 'vhd', vdi: disk })
  assert.equal(vhd.subarray(0, 8).toString(), 'conectix')
  assert.equal(vhd.subarray(-512, -504).toString(), 'conectix')
})
await check('putResource: the VHD into another disk makes the same disk', async () => {
  const other = await newDisk('from vhd')
  await put([vhd], vhd.length, '/import_raw_vdi/', { format: 'vhd', vdi: other })
  assert.equal(sha256(await exported('/export_raw_vdi/', { format: 'raw', vdi: other })), sha256(content))
})
await check('getResource: a VHD of the differences to a base', async () => {
  const base = await xapi.callAsync('VDI.snapshot', disk)
  const changed = Buffer.from(content)
  changed.fill('x', 0, 4096)
  await put([changed], changed.length, '/import_raw_vdi/', { format: 'raw', vdi: disk })
  const delta = await exported('/export_raw_vdi/', { format: 'vhd', vdi: disk, base })
  assert.equal(delta.readUInt32BE(60), 4)
})
await check('an export that is left early ends its task and frees the disk', async () => {
  const response = await xapi.getResource('/export_raw_vdi/', { query: { format: 'vhd', vdi: disk }, task: true })
  response.body.on('error', () => {})
  response.body.destroy()
  await Promise.race([response.task.catch(() => {}), new Promise((_, reject) => setTimeout(reject, 20000, new Error('the task goes on')).unref())])
  for (;;) {
    const vbds = await xapi.call('VDI.get_VBDs', disk)
    if (vbds.length === 0) break
    await xapi.barrier()
  }
})
await check('a local disk is exported by the host that sees it, by redirection', async () => {
  const [local] = disksOf(byName(xapi, 'VM', 'local'))
  assert.equal((await exported('/export_raw_vdi/', { format: 'raw', vdi: local.$ref })).length, 4 * MIB)
})

let xva
await check('getResource: an XVA, ended by two zero blocks', async () => {
  xva = await exported('/export/', { ref: byName(xapi, 'VM', 'db').$ref, use_compression: 'false' })
  assert.equal(xva.subarray(0, 7).toString(), 'ova.xml')
  assert.ok(xva.subarray(-1024).every(byte => byte === 0))
})
const imported = async (stream, task) => {
  const sr = byName(xapi, 'SR', 'Shared storage')
  const result = await xapi.putResource(stream, '/import/', { query: { sr_id: sr.$ref }, task })
  const [ref] = Array.isArray(result) ? result : [result]
  const vm = await xapi.barrier(ref)
  assert.equal(vm.name_label, 'db')
  assert.equal(disksOf(vm).length, 2)
}
await check('putResource: the XVA with its length makes a VM', async () => {
  const stream = Readable.from([xva], { objectMode: false })
  stream.length = xva.length
  await imported(stream, true)
})
await check('putResource: the XVA announced as 1 PiB and cut at its end makes a VM', async () => {
  // The client cuts the connection as soon as the stream has ended, whatever it has sent by then: end it late.
  const task = await xapi.createTask('import', '')
  const done = xapi.watchTask(task).catch(() => {})
  const stream = Readable.from(
    (async function* () {
      yield xva
      await done
    })(),
    { objectMode: false }
  )
  await imported(stream, task)
})
await check('the metadata of a running VM and the database of the pool are to be had', async () => {
  const metadata = await exported('/export_metadata/', { ref: byName(xapi, 'VM', 'web').$ref })
  assert.equal(metadata.subarray(0, 7).toString(), 'ova.xml')
  assert.match((await exported('/pool/xmldbdump', {})).toString(), /<database>/)
})

await check('an expired session is opened again, and events go on', async () => {
  const before = xapi.sessionId
  await order({ expire: true })
  assert.ok(await patiently(() => xapi.call('VM.get_all')))
  assert.notEqual(xapi.sessionId, before)
  const vm = byName(xapi, 'VM', 'db')
  await patiently(() => vm.set_name_description('after expiry'))
  assert.equal((await xapi.barrier(vm.$ref)).name_description, 'after expiry')
})
await check('missed deletions are no reason to stop', async () => {
  const ref = await patiently(() => xapi.call('task.create', 'soon gone', ''))
  await xapi.barrier()
  await xapi.call('task.set_status', ref, 'success')
  await xapi.call('task.destroy', ref)
  await order({ forget: 'task' })
  await xapi.barrier()
  await xapi.barrier() // the tasks are fetched again after the first
  assert.equal(xapi.getObjectByRef(ref, undefined), undefined)
})
await check('after a change of the coordinator it follows, and events go on', async () => {
  await order({ designate: 'host-2' })
  assert.ok(await patiently(() => xapi.call('VM.get_all')))
  assert.equal(xapi._url.hostname, settings.second)
  const vm = byName(xapi, 'VM', 'db')
  await patiently(() => vm.set_name_description('after the change'))
  assert.equal((await xapi.barrier(vm.$ref)).name_description, 'after the change')
})
await check('disconnects', () => xapi.disconnect())
done()
