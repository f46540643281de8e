import { Double } from 'mongodb'
import { describeUpdates } from './update-table.ts'

/** Expectations are the manual's: https://www.mongodb.com/docs/manual/reference/operator/update/ */
describeUpdates({
  '$push with its modifiers': [
    [{ a: [1] }, { $push: { a: 2 } }, { a: [1, 2] }],
    [{}, { $push: { a: 89 } }, { a: [89] }],
    [{ a: [1] }, { $push: { a: [2, 3] } }, { a: [1, [2, 3]] }],
    [{ a: [1] }, { $push: { a: { $each: [2, 3] } } }, { a: [1, 2, 3] }],
    [
      {
        q: [
          { wk: 1, score: 10 },
          { wk: 2, score: 8 },
          { wk: 3, score: 5 },
          { wk: 4, score: 6 },
        ],
      },
      {
        $push: {
          q: {
            $each: [
              { wk: 5, score: 8 },
              { wk: 6, score: 7 },
              { wk: 7, score: 6 },
            ],
            $sort: { score: -1 },
            $slice: 3,
          },
        },
      },
      {
        q: [
          { wk: 1, score: 10 },
          { wk: 2, score: 8 },
          { wk: 5, score: 8 },
        ],
      },
    ],
    [{ a: [40, 50] }, { $push: { a: { $each: [80, 78, 86], $slice: -3 } } }, { a: [80, 78, 86] }],
    [{ a: [1, 2] }, { $push: { a: { $each: [], $slice: 0 } } }, { a: [] }],
    [{ a: [89, 70, 89] }, { $push: { a: { $each: [40, 60], $sort: 1 } } }, { a: [40, 60, 70, 89, 89] }],
    [{ a: [100] }, { $push: { a: { $each: [50, 60], $position: 0 } } }, { a: [50, 60, 100] }],
    [{ a: [1, 2, 3] }, { $push: { a: { $each: [9], $position: -1 } } }, { a: [1, 2, 9, 3] }],
    [{ a: [1] }, { $push: { a: { $each: [9], $position: 20 } } }, { a: [1, 9] }],
    [
      { a: [{ x: { y: 2 } }, { x: { y: 1 } }] },
      { $push: { a: { $each: [], $sort: { 'x.y': 1 } } } },
      { a: [{ x: { y: 1 } }, { x: { y: 2 } }] },
    ],
    [{ a: 1 }, { $push: { a: 1 } }, 2],
    [{ a: [] }, { $push: { a: { $each: 1 } } }, 2],
    [{ a: [] }, { $push: { a: { $each: [], $other: 1 } } }, 2],
    [{ a: [] }, { $push: { a: { $each: [], $slice: 1.5 } } }, 2],
    [{ a: [] }, { $push: { a: { $each: [], $sort: 2 } } }, 2],
    [{ a: [] }, { $push: { a: { $each: [], $sort: {} } } }, 2],
    [{ a: [] }, { $push: { a: { $each: [], $sort: { x: 2 } } } }, 2],
    [{ a: [] }, { $push: { a: { $each: [], $sort: { 'x.': 1 } } } }, 2],
  ],
  '$addToSet, $pull, $pullAll and $pop': [
    [{ a: ['x'] }, { $addToSet: { a: 'x' } }, { a: ['x'] }],
    [{ a: ['x'] }, { $addToSet: { a: { $each: ['y', 'x', 'y'] } } }, { a: ['x', 'y'] }],
    [{ a: ['x'] }, { $addToSet: { a: ['y'] } }, { a: ['x', ['y']] }],
    [
      { a: [{ x: 1, y: 2 }] },
      { $addToSet: { a: { y: 2, x: 1 } } },
      {
        a: [
          { x: 1, y: 2 },
          { y: 2, x: 1 },
        ],
      },
    ],
    [{ a: [1] }, { $addToSet: { a: new Double(1) } }, { a: [1] }],
    [{}, { $addToSet: { a: 1 } }, { a: [1] }],
    [{ a: 1 }, { $addToSet: { a: 1 } }, 2],
    [{ a: ['apples', 'kiwis', 'plums'] }, { $pull: { a: { $in: ['apples', 'plums'] } } }, { a: ['kiwis'] }],
    [{ a: [3, 5, 6, 7] }, { $pull: { a: { $gte: 6 } } }, { a: [3, 5] }],
    [
      {
        a: [
          { item: 'A', score: 5 },
          { item: 'B', score: 8 },
        ],
      },
      { $pull: { a: { score: 8, item: 'B' } } },
      { a: [{ item: 'A', score: 5 }] },
    ],
    [
      {
        a: [
          { item: 'A', answers: [{ q: 1, a: 4 }] },
          {
            item: 'B',
            answers: [
              { q: 1, a: 8 },
              { q: 2, a: 9 },
            ],
          },
        ],
      },
      { $pull: { a: { answers: { $elemMatch: { q: 2, a: { $gte: 8 } } } } } },
      { a: [{ item: 'A', answers: [{ q: 1, a: 4 }] }] },
    ],
    [{ a: [{ x: [1, 2] }, { x: [3] }] }, { $pull: { 'a.$[].x': { $gt: 1 } } }, { a: [{ x: [1] }, { x: [] }] }],
    [{ a: [1, null, 2] }, { $pull: { a: null } }, { a: [1, 2] }],
    [{ a: [[1], [1, 2], 1] }, { $pull: { a: [1] } }, { a: [[1, 2], 1] }],
    [{ a: ['web1', 'db1', 3] }, { $pull: { a: /^web/ } }, { a: ['db1', 3] }],
    [{ b: 1 }, { $pull: { a: 1 } }, { b: 1 }],
    [{ a: 1 }, { $pull: { a: 1 } }, 2],
    [{ a: [0, 2, 5, 5, 1, 0] }, { $pullAll: { a: [0, 5] } }, { a: [2, 1] }],
    [{ a: [1] }, { $pullAll: { a: 1 } }, 2],
    [{ a: [8, 9, 10] }, { $pop: { a: -1 } }, { a: [9, 10] }],
    [{ a: [8, 9, 10] }, { $pop: { a: 1 } }, { a: [8, 9] }],
    [{ a: [] }, { $pop: { a: 1 } }, { a: [] }],
    [{ a: 1 }, { $pop: { a: 1 } }, 14],
    [{ a: [1] }, { $pop: { a: 2 } }, 9],
    [{ a: [{ x: 1 }, { x: 2 }, 3] }, { $pull: { a: { $or: [{ x: 1 }] } } }, { a: [{ x: 2 }, 3] }],
    [{ a: [1] }, { $pull: { a: { $not: { $gt: 0 } } } }, 2],
    [{ a: [[{ x: 1 }], [1]] }, { $pull: { a: { $elemMatch: { $comment: 'x' } } } }, { a: [[1]] }],
    [{ a: 1 }, { $pull: { 'a.x': 1 } }, 28],
    [{ a: [] }, { $pull: { 'a.x': 1 } }, 28],
    [{ a: 1 }, { $pullAll: { 'a.x': [] } }, 28],
    [{ a: 1 }, { $pop: { 'a.0': 1 } }, 28],
    [{ a: 1 }, { $unset: { 'a.x': 1 } }, { a: 1 }],
    [{ a: {} }, { $pull: { 'a.x.y': 1 } }, { a: {} }],
    [{ a: [] }, { $pull: { 'a.5.y': 1 } }, { a: [] }],
  ],
  'the positional operators': [
    [{ g: [85, 80, 80] }, { $set: { 'g.$': 82 } }, { g: [85, 82, 80] }, { filter: { g: 80 } }],
    [
      {
        g: [
          { m: 75, s: 8 },
          { m: 85, s: 5 },
        ],
      },
      { $set: { 'g.$.s': 6 } },
      {
        g: [
          { m: 75, s: 8 },
          { m: 85, s: 6 },
        ],
      },
      { filter: { 'g.m': 85 } },
    ],
    [
      {
        g: [
          { m: 80, v: 75 },
          { m: 85, v: 90 },
        ],
      },
      { $set: { 'g.$.s': 6 } },
      {
        g: [
          { m: 80, v: 75 },
          { m: 85, v: 90, s: 6 },
        ],
      },
      { filter: { g: { $elemMatch: { m: { $lte: 90 }, v: { $gt: 80 } } } } },
    ],
    [
      { g: [{ x: [1, 2] }, { x: [3, 2] }] },
      { $set: { 'g.$.hit': true } },
      { g: [{ x: [1, 2] }, { x: [3, 2], hit: true }] },
      { filter: { 'g.x': 3 } },
    ],
    [{ g: [1] }, { $set: { 'g.$': 2 } }, 2],
    [{ g: [1] }, { $unset: { 'g.$': 1 } }, { g: [null] }, { filter: { g: 1 } }],
    [{ g: [85, 82, 80] }, { $inc: { 'g.$[]': 10 } }, { g: [95, 92, 90] }],
    [{ g: [{ q: [1, 5] }, { q: [2] }] }, { $inc: { 'g.$[].q.$[]': 1 } }, { g: [{ q: [2, 6] }, { q: [3] }] }],
    [{ g: 5 }, { $inc: { 'g.$[]': 1 } }, 2],
    [{}, { $inc: { 'g.$[]': 1 } }, 2],
    [{}, { $unset: { 'g.$[]': 1 } }, 2],
    [{}, { $pull: { 'g.$': 1 } }, 2],
    [{ g: 1 }, { $unset: { 'g.$.x': 1 } }, 2],
    [{ g: 1 }, { $pop: { 'g.x.$[]': 1 } }, 2],
    [{ g: 1 }, { $setOnInsert: { 'g.$[]': 1 } }, 2],
    [{ g: 1 }, { $setOnInsert: { 'g.x': 1 } }, { g: 1 }],
    [{ g: [1, 2] }, { $set: { 'g.01': 3 } }, { g: [1, 3] }],
    [{ g: [95, 102, 90] }, { $set: { 'g.$[e]': 100 } }, { g: [95, 100, 90] }, { arrayFilters: [{ e: { $gte: 100 } }] }],
    [
      {
        g: [
          { v: 80, s: 6 },
          { v: 90, s: 4 },
        ],
      },
      { $set: { 'g.$[e].v': 0 } },
      {
        g: [
          { v: 0, s: 6 },
          { v: 90, s: 4 },
        ],
      },
      { arrayFilters: [{ 'e.v': 80, 'e.s': { $gte: 5 } }] },
    ],
    [
      {
        g: [
          { t: 'q', x: [8, 3] },
          { t: 'r', x: [9] },
        ],
      },
      { $inc: { 'g.$[t].x.$[s]': 2 } },
      {
        g: [
          { t: 'q', x: [10, 3] },
          { t: 'r', x: [9] },
        ],
      },
      { arrayFilters: [{ 't.t': 'q' }, { s: { $gte: 8 } }] },
    ],
    [{ g: [1] }, { $set: { 'g.$[e]': 2 } }, 2],
    [{ g: [1] }, { $set: { a: 2 } }, 9, { arrayFilters: [{ e: 1 }] }],
    [{ g: [1] }, { $set: { 'g.$[e]': 2 } }, 9, { arrayFilters: [{ e: 1 }, { e: 2 }] }],
    [{ g: [1] }, { $set: { 'g.$[e]': 2 } }, 9, { arrayFilters: [{ e: 1, f: 2 }] }],
    [{ g: [1] }, { $set: { 'g.$[e]': 2 } }, 9, { arrayFilters: [{}] }],
    [{ g: [1] }, { $set: { 'g.$[e]': 2 } }, 2, { arrayFilters: [{ E: 1 }] }],
    [{ g: [1, 2] }, { $set: { 'g.$[e]': 2, 'g.$[f]': 3 } }, 40, { arrayFilters: [{ e: 1 }, { f: { $lt: 2 } }] }],
    [{ g: [1, 2] }, { $set: { 'g.$[e]': 8, 'g.$[f]': 9 } }, { g: [8, 9] }, { arrayFilters: [{ e: 1 }, { f: 2 }] }],
    [{ g: [1, 2] }, { $set: { 'g.$[]': 2, 'g.0': 3 } }, 40],
  ],
})
