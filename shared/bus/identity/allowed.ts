import { authChangedSubject } from '#shared/contracts/access/auth.ts'
import { emittedBy, type Member, memberOf, queuedBy, routed, wholeName } from './service-permissions.ts'
import {
  cancelSubject,
  changeSubjects,
  inboxPrefix,
  operationSubjects,
  packetTypes,
  samplesSubject,
  streams,
  streamsSubject,
} from './subjects.ts'

/** Subjects that an identity may publish and subscribe to, in the format of nats-server's configuration. */
export type Allowed = {
  publish: { allow: string[] }
  subscribe: { allow: string[] }
  allow_responses: { max: number; expires: string }
}

const changes = Object.values(changeSubjects).map((subject) => `${subject}.*`)
const operationHints = Object.values(operationSubjects).map((subjectOf) => subjectOf('*'))
const broadcast = packetTypes.filter((type) => type !== 'REQ' && type !== 'RES')

/** Access rules of an identity, derived from its line in the table; undefined: everything. */
export function allowedTo(name: string): Allowed | undefined {
  if (name === wholeName) return undefined
  const member = memberOf(name)
  return {
    publish: { allow: [...sends(name, member), ...tells(member), ...asksJetStream(member)] },
    subscribe: { allow: hears(name, member) },
    // A service may send one reply per request, within a short time. No other identity can publish into an inbox.
    allow_responses: { max: 1, expires: '5s' },
  }
}

function sends(name: string, { calls, isGateway }: Member): string[] {
  return [
    ...broadcast.map((type) => `MOL.${type}.${name}`),
    ...['RES', 'INFO', 'DISCOVER'].map((type) => `MOL.${type}.${name}.*.*`),
    ...new Set([...calls, ...(isGateway ? routed : [])].map((action) => `MOL.REQ.${name}.*.*.${action}`)),
  ]
}

function tells(member: Member): string[] {
  return [
    'horcrux.alive.*.*',
    ...changes,
    cancelSubject,
    ...operationHints,
    ...emittedBy(member).map((topic) => `horcrux.events.${topic.replace(':', '.')}`),
    ...queuedBy(member).map((service) => `horcrux.work.${service}`),
    ...(member.serves.some((contract) => contract.name === 'auth') ? [authChangedSubject] : []),
    ...(member.measures ? [samplesSubject] : []),
    ...(member.keepsStreams ? [] : [streamsSubject]),
  ]
}

function hears(name: string, member: Member): string[] {
  return [
    ...broadcast.map((type) => `MOL.${type}.*`),
    ...['REQ', 'RES', 'INFO', 'DISCOVER'].map((type) => `MOL.${type}.*.${name}.>`),
    `${inboxPrefix(name)}.>`,
    `horcrux.alive.${name}.*`,
    cancelSubject,
    ...operationHints,
    ...changes,
    ...(member.isGateway ? [authChangedSubject] : []),
    ...(member.measures ? [samplesSubject] : []),
    ...(member.keepsStreams ? [streamsSubject] : []),
  ]
}

/** The calls of JetStream's API, each by its subject. */
function asksJetStream(member: Member): string[] {
  const api = '$JS.API'
  const { events, work } = streams
  return [
    `${api}.INFO`,
    ...queuedBy(member).flatMap((service) => [
      `${api}.CONSUMER.CREATE.${work}.work-${service}.horcrux.work.${service}`,
      `${api}.CONSUMER.INFO.${work}.work-${service}`,
      `${api}.CONSUMER.MSG.NEXT.${work}.work-${service}`,
      `$JS.ACK.${work}.work-${service}.>`,
    ]),
    ...(member.isGateway
      ? [
          `${api}.STREAM.INFO.${events}`,
          `${api}.STREAM.MSG.GET.${events}`,
          `${api}.CONSUMER.CREATE.${events}`,
          ...['INFO', 'DELETE', 'MSG.NEXT'].map((what) => `${api}.CONSUMER.${what}.${events}.*`),
        ]
      : []),
    ...(member.keepsStreams
      ? ['INFO', 'CREATE', 'UPDATE'].flatMap((what) =>
          [events, work].map((stream) => `${api}.STREAM.${what}.${stream}`),
        )
      : []),
  ]
}
