import { operations } from '#shared/contracts/operations.ts'
import { createGateway } from './services/gateway/service.ts'
import { things, thingsService, peopleService } from './test/lab/gateway-things.ts'
import { startHorcrux } from './test/lab/horcrux.ts'
import { load } from './bench/load.ts'
import { vms } from '#shared/contracts/vms.ts'
import { vmService } from './services/vm/vms.ts'
import { vmRecords } from './services/vm/model.ts'
import Fastify from 'fastify'
import { Session } from 'node:inspector/promises'
const g = createGateway([operations, vms, things])
const h = await startHorcrux({ services: [{ name: 'vm', serves: [vmService] }, peopleService, thingsService, g], config: { port: 0, rateLimit: 0 } })
await vmRecords.insert({id:'vm-1',name:'x',description:'x'.repeat(300),hypervisor:'qemu',architecture:'x86_64',memory:1024,cpus:1,disks:[],nics:[],iso:null,boot:null,firmware:'bios',accel:'tcg',node:'local',status:'running',status_reason:null,desired_state:'running',pending_restart:false,protected:false,tags:[],created_at:'',updated_at:'',domain_uuid:'u',defined:true} as never)
const headers = { authorization: 'Bearer ann-token' }
const one = await (await fetch(g.url()+'/api/vms/vm-1',{headers})).json()
const bare = Fastify(); bare.get('/one', async () => one); const at = await bare.listen({port:0,host:'127.0.0.1'})

async function cpu(url: string, headers = {}) { const before = process.cpuUsage(); const t=performance.now(); const m = await load(url, {headers, seconds: 3}); const u = process.cpuUsage(before); return {rps: Math.round(m.perSecond), elu: ((u.user+u.system)/1000/(performance.now()-t)).toFixed(2) } }
import { performance as pf } from 'node:perf_hooks'
async function elu(url: string, headers = {}) { const b = pf.eventLoopUtilization(); const m = await load(url, {headers, seconds: 3}); const e = pf.eventLoopUtilization(b); return `${Math.round(m.perSecond)}/s util ${e.utilization.toFixed(2)} us/req ${(e.active*1000/(m.perSecond*4)).toFixed(1)}` }
for (let i=0;i<3;i++) { console.log('bare', await elu(at+'/one')); console.log('gw  ', await elu(g.url()+'/api/vms/vm-1',headers)); }

const s = new Session(); s.connect(); await s.post('Profiler.enable'); await s.post('Profiler.start')
await load(g.url()+'/api/vms/vm-1',{headers})
const {profile} = await s.post('Profiler.stop')
const self = new Map<string, number>(); const dt = profile.timeDeltas!; const byId = new Map(profile.nodes.map(n=>[n.id,n]))
profile.samples!.forEach((id,i)=>{ const n=byId.get(id)!; const k=`${n.callFrame.functionName} ${n.callFrame.url.split('/').slice(-3).join('/')}:${n.callFrame.lineNumber}`; self.set(k,(self.get(k)??0)+dt[i]!) })
const total=[...self.values()].reduce((a,b)=>a+b,0)
for (const [k,v] of [...self].sort((a,b)=>b[1]-a[1]).slice(0,45)) console.log((v/total*100).toFixed(1).padStart(5), k)
process.exit(0)
