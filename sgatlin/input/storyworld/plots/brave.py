# SPDX-License-Identifier: Apache-2.0
"""Plots about fear and patience: the dark, storms, first times, things that take practice."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

PLOTS = (
    Plot(
        "noise in the dark",
        world="town",
        choices=(
            {"noise": "scratch, scratch", "truth": "a branch that moved in the wind"},
            {"noise": "tap, tap, tap", "truth": "a tap that dripped into the sink"},
            {"noise": "bump, bump", "truth": "the shutter, which nobody had closed"},
            {"noise": "hoo, hoo", "truth": "the wind, which blew across a bottle"},
            {"noise": "squeak, squeak", "truth": "a hamster that ran in its wheel"},
            {"noise": "rustle, rustle", "truth": "a moth behind the curtain"},
            {"noise": "crunch, crunch", "truth": "{parent} with a late snack"},
            {"noise": "tick, tack", "truth": "a clock that {parent} had mended that day"},
            {"noise": "click, clack", "truth": "{his} {colour} beads, which swung on their hook"},
            {"noise": "grr, grr", "truth": "Grandpa, who snored in the next room"},
        ),
        beats=(
            (
                "<open> {He} liked everything about it, but not the nights.",
                "Every night {parent} tucked {hero} in with {his} {colour} {toy} and turned"
                " out the light.",
                "It was bedtime. {Hero} put on {his} {colour} pajamas and hugged {his} {toy}."
                " <book>",
                "<open> There was only one thing {he} did not like, and that was the dark.",
            ),
            "<bed>",
            PARAGRAPH,
            (
                'One night in {month} {he} heard a noise. "{Noise}," it went.',
                '{Hero} had almost fallen asleep when {he} heard it. "{Noise}," it went, and'
                ' then again, "{noise}."',
                'One {weekday} night something woke {him}. "{Noise}," it went.',
            ),
            maybe(
                "{Hero} pulled the covers over {his} head. Was it a monster? Was it a ghost?",
                '"It must be a monster," {hero} thought, and {he} did not dare to breathe.',
                "{His} heart beat fast. {He} thought of big claws and yellow eyes.",
            ),
            PARAGRAPH,
            (
                '"I could lie here and be {scared} all night," {he} thought. "Or I could look." So'
                " {he} took {his} flashlight and put one foot on the floor.",
                '{He} held {his} teddy bear tight. "We will go together," {he} told it. Step by'
                " step, they crept toward the noise.",
                '"Who is there?" {he} called in a small voice. Nobody answered. So {he} lit a'
                " little lamp and went to see.",
                "{He} took a big breath, counted to {number}, and turned on the light.",
            ),
            (
                "And there {he} saw it. It was only {truth}.",
                "What {he} found was only {truth}.",
                "There was no monster at all. It was {truth}.",
            ),
            maybe(
                "{Hero} began to laugh. {He} laughed so much that {his} bed shook.",
                '"So it was you," {he} said. "You gave me a fright."',
                '"Hello, monster," said {hero} and giggled.',
            ),
            PARAGRAPH,
            (
                "Then {he} went back to bed. From then on, when something went {noise}, {he} only"
                " smiled.",
                "In the morning {he} told everyone about {his} monster. {Parent} laughed the"
                " loudest.",
                "The dark had not changed, but {hero} had. <night>",
                "Things look different when you shine a light on them. <night>",
            ),
        ),
    ),
    Plot(
        "storm",
        pair=True,
        choices=(
            {"shelter": "an empty barn", "inside": "It smelled of hay"},
            {"shelter": "a cave", "inside": "The cave was damp, but no rain came in"},
            {"shelter": "an empty mill", "inside": "The wheel creaked in the wind"},
            {"shelter": "a hollow tree", "inside": "There was just enough room for two"},
            {"shelter": "a shepherd's hut", "inside": "Somebody had left a lamp there"},
            {"shelter": "a boathouse", "inside": "The rain drummed on the roof"},
            {"shelter": "the space under a big rock", "inside": "It was dry and full of leaves"},
        ),
        beats=(
            (
                "<pair> <one day> they went out to [pick berries|look for mushrooms|fly a kite].",
                "<brief> <one day> {he} and {his} {pal} went for a walk.{fact friend}",
            ),
            maybe(
                "<way>",
            ),
            (
                "<way>",
                "<meet>",
                "They did not see how the sky turned gray behind them.",
            ),
            PARAGRAPH,
            (
                "All at once the wind began to howl. Black clouds rolled in, and the first drops"
                " fell.",
                "Then it grew dark. Boom, went the thunder, and the rain came down in buckets.",
                "Suddenly there was a flash of lightning. The trees bent, and leaves flew through"
                " the air.",
            ),
            maybe(
                '"I am {scared}!" cried {friend}. "Hold on to me," said {hero}. "We stay'
                ' together."',
                '"Which way is home?" cried {hero}. "I cannot see a thing," said {friend}.',
                '"Run!" cried {friend}. "Not under the trees!" called {hero}. "Follow me!"',
            ),
            "They ran until they found {shelter}. {Inside}.",
            PARAGRAPH,
            (
                "Each time the thunder rolled, {friend} shook. So {hero} began to sing {a tune},"
                " and soon {friend} sang too.",
                "They sat close together. {Hero} told the funniest story {he} knew, and {friend}"
                " forgot about the thunder.",
                '"The thunder is only the sky with a cold," said {hero}. "Achoo!" {Friend} had to'
                " laugh.",
                "They counted the time between the flash and the boom. It grew longer and longer.",
            ),
            maybe(
                "At last the rain stopped. The whole world dripped and sparkled.",
                "After a while it grew quiet. They peeked out and saw a rainbow.",
                "When the storm had passed, the air smelled of earth and grass.",
            ),
            (
                "They jumped over fallen branches on the way home. {Parent} stood at the door and"
                " hugged them both.",
                '"I was not {scared} at all," said {friend}. "Me neither," said {hero}, and they'
                " both laughed.",
                "Now when a storm comes, they find each other and sing.",
                "{Parent} had {drink} ready for them. A storm is a fine thing when you hear it"
                " from inside.",
            ),
        ),
    ),
    Plot(
        "practice",
        world="town",
        choices=(
            {
                "skill": "ride a bike",
                "fail": "{He} fell into a hedge",
                "step": "{He} rode as far as the gate",
                "show": "{He} rode all the way around the park",
            },
            {
                "skill": "whistle",
                "fail": "Only air came out",
                "step": "There came a little peep",
                "show": "{He} whistled so well that the birds answered",
            },
            {
                "skill": "swim",
                "fail": "{He} swallowed a lot of water",
                "step": "{He} kicked and stayed up for a moment",
                "show": "{He} swam from one side to the other",
            },
            {
                "skill": "skate",
                "fail": "{He} sat down hard on the ice",
                "step": "{He} slid a little way and did not fall",
                "show": "{He} skated in a big circle",
            },
            {
                "skill": "tie {his} shoes",
                "fail": "All {he} got was a knot",
                "step": "{He} made one loop that held",
                "show": "{He} tied a bow like a butterfly",
            },
            {
                "skill": "juggle",
                "fail": "{He} dropped all the oranges",
                "step": "Two oranges stayed in the air",
                "show": "{He} juggled four oranges and a shoe",
            },
            {
                "skill": "play the {music}",
                "fail": "It sounded like a goat with a cold",
                "step": "One note came out right",
                "show": "{He} played a whole {tune}",
            },
            {
                "skill": "bake bread",
                "fail": "It came out as hard as a brick",
                "step": "The dough began to rise",
                "show": "The bread was fresh, and nobody left a crumb",
            },
            {
                "skill": "stand on {his} hands",
                "fail": "{He} tipped over like a tree",
                "step": "{He} counted to two before {he} fell",
                "show": "{He} walked on {his} hands across the yard",
            },
            {
                "skill": "skip stones",
                "fail": "Plop, they sank at once",
                "step": "One hopped two times",
                "show": "One hopped {number} times, all the way across",
            },
        ),
        beats=(
            "<brief> {He} wanted to learn how to {skill}.",
            (
                "All {his} friends could do it already.",
                "{Parent} could do it with closed eyes.",
                "{He} had dreamed about it the whole winter.",
                "",
                "",
                "",
                "",
                "",
            ),
            PARAGRAPH,
            "<one day> {he} tried it for the first time. {Fail}.",
            "<watch>",
            maybe(
                '"It is too hard!" {he} cried. "I will never learn it."',
                "{Hero} tried again and again, but it always went wrong. {He} wanted to give up.",
                "Some big boys laughed. {Hero} ran home with wet eyes.",
                "{Hero} kicked a bucket and sat down in the grass.",
            ),
            PARAGRAPH,
            (
                '"I failed a hundred times before it worked," said {elder}.',
                '"Nobody can do it on the first day," said {parent}. "Try a little every day."',
                "Then {he} saw a spider on the fence. The wind had torn its web, but the spider"
                " was patient and began again.",
                "Then {he} met a turtle that climbed up a bank. The turtle was slow, but it did"
                " not stop until it had reached the top.",
                "Then {he} saw a baby on the grass. It stood up, fell down, laughed, and stood up"
                " again.",
            ),
            (
                "So {hero} practiced every day, and on the {third} day something happened. {Step}!",
                '"All right, one more time," said {hero}. {Step}!',
                "So {he} tried once more, and then once more after that. {Step}!",
            ),
            PARAGRAPH,
            (
                "A week later everyone came to watch. {Show}.",
                "And then, one {fine2} {time}, it worked. {Show}.",
                "Before the month had ended, {he} could do it. {Show}.",
            ),
            maybe(
                '"I did it!" {he} shouted. "Yes, you did," said {parent}.',
                '"How did you do that?" asked the other children. "I fell down a lot," said'
                " {hero}.",
                "<happy>",
                "The next day {he} taught it to {his} {pal}.",
            ),
        ),
    ),
    Plot(
        "stage fright",
        choices=(
            {"act": "sing {a tune}", "event": "the spring fair"},
            {"act": "dance alone", "event": "the harvest feast"},
            {"act": "say a poem", "event": "the winter party"},
            {"act": "play the {music}", "event": "the big concert"},
            {"act": "be the king in a play", "event": "the summer feast"},
            {"act": "do a magic trick", "event": "the talent show"},
            {"act": "tell a story", "event": "the lantern evening"},
        ),
        beats=(
            "<brief> <one day> {hero} heard that {he} would {act} at {event}.",
            maybe(
                "{He} practiced every day, in the bath and under the table and even in {his}"
                " sleep.",
                "{He} practiced until even the flies knew it by heart.",
                "At home it always went well.",
            ),
            "<pets>",
            PARAGRAPH,
            (
                "Then the day came. {Hero} peeked out at the crowd and felt {his} knees shake.",
                "Then it was time. So many eyes looked at {him}! {His} mouth went dry.",
                "But when {he} saw all the faces, {his} tummy began to flutter.",
            ),
            maybe(
                '"I cannot do it," {he} whispered. "I have forgotten everything."',
                '"I want to go home," {he} said to {parent}.',
                "{He} hid behind a curtain and did not come out.",
            ),
            PARAGRAPH,
            (
                '"Look at me and no one else," said {his} {pal}. "I will sit in the front row in'
                ' my {colour} {wear}."',
                '"I am always {scared} too," whispered {elder}. "I just breathe in, and breathe'
                ' out, and begin."',
                "Then {parent} pointed at a baby in the front row. It smiled at {him} and waved.",
            ),
            (
                "So {hero} stepped out. The first word came out as a squeak, but the second one"
                " rang like a bell.",
                "{Hero} closed {his} eyes, breathed in, and began. After a moment {he} forgot that"
                " anyone was there.",
                "So {hero} took a step. It felt like a jump into cold water, and then it felt like"
                " swimming.",
            ),
            PARAGRAPH,
            maybe(
                "At the end, everyone [clapped and stamped|cheered|jumped up].",
                "For a moment nobody made a sound. Then the applause broke out like rain.",
                '"More! More!" called the crowd.',
            ),
            (
                "{Hero} bowed so low that {his} {wear} fell over {his} eyes.",
                '"Were you {scared}?" asked {parent} later. "Yes," said {hero}, "but I did it'
                ' anyway."',
                "{Hero} could not wait for the next time.",
                "<night>",
            ),
        ),
    ),
    Plot(
        "visit to the doctor",
        world="town",
        choices=(
            {
                "ache": "{His} tooth hurt",
                "doctor": "the dentist",
                "does": "looked into {his} mouth with a little mirror",
            },
            {
                "ache": "{His} ear hurt",
                "doctor": "Doctor {surname}",
                "does": "looked into {his} ear with a lamp",
            },
            {
                "ache": "{He} had a splinter in {his} thumb",
                "doctor": "the nurse",
                "does": "pulled it out with a tweezer",
            },
            {
                "ache": "{He} had a bad cough",
                "doctor": "Doctor {surname}",
                "does": "listened to {his} chest",
            },
            {
                "ache": "{His} knee had a nasty cut",
                "doctor": "Nurse {surname}",
                "does": "washed it and wrapped it up",
            },
            {
                "ache": "{His} eyes could not see far",
                "doctor": "the eye doctor",
                "does": "held {number} glasses in front of {his} nose",
            },
        ),
        beats=(
            (
                "<brief> <one day> {he} did not feel well. {Ache}.",
                "{Hero} woke up early. {Ache}.",
                "<brief> But that morning {he} did not want to play. {Ache}.",
            ),
            '"We have to go to {doctor}," said {parent}.',
            maybe(
                "<home>",
            ),
            PARAGRAPH,
            maybe(
                '"No!" cried {hero}, and {he} hid [under the bed|behind the sofa|in the closet].',
                '"I feel better already," said {hero} quickly. But it was not true.',
                "{Hero} made a very sad face.",
            ),
            (
                "Off they went. <street>",
                "So they set out. <street>",
            ),
            (
                '"I am {scared}," said {a kid2} in the waiting room. "Me too," said {hero}, and'
                " that helped them both.",
                "In the waiting room {hero} counted {number} fish in a tank, and one of them"
                " seemed to wink.",
                '"Can my doll come in with me?" {he} asked. "Of course, and I will look at the'
                ' doll first," said {doctor}.',
            ),
            PARAGRAPH,
            "Then came {his} turn. {Doctor} {does}.",
            (
                'It tickled more than it hurt. "All done," said {doctor}.',
                '{Hero} squeezed {his} eyes shut and waited. "When do you begin?" {he} asked. "I'
                ' have finished," said {doctor}.',
                'It hurt for a moment, and then the moment was over. "You did very well," said'
                " {doctor}.",
            ),
            (
                "{Hero} got {a colour} sticker and wore it for a week.",
                'On the way out {he} told a little girl, "It is not so bad. You will see."',
                'At home {he} played doctor with all {his} toys. "It will only tickle," {he} told'
                " them.",
                "<night>",
            ),
        ),
    ),
    Plot(
        "lost on the way",
        choices=(
            {"lure": "{a colour} butterfly"},
            {"lure": "the sound of a flute"},
            {"lure": "a trail of {flower}"},
            {"lure": "a squirrel with a bushy tail"},
            {"lure": "a balloon in the wind"},
            {"lure": "the smell of {fruits}"},
        ),
        beats=(
            "<brief>",
            "<one day> {he} followed {lure}. <way>",
            (
                "When {hero} looked back, {he} did not know where {he} was.",
                "And then {he} stopped. Nothing here looked like home.",
                "Suddenly every tree looked the same.",
            ),
            PARAGRAPH,
            maybe(
                '"Hello?" {he} called. "Hello, hello," said the echo. {Hero} sat down and cried.',
                "It got late. {Hero} felt very small and very alone.",
                '"I will never find my way back," {he} said with a sob.',
            ),
            (
                'Then an owl landed on a branch. The owl was wise and said, "Look for something'
                ' that you passed."',
                'Then {intro2} came along, who was lost too.{fact friend} "Let us be lost'
                ' together," {he2} said.',
                'Then {elder} came along.{fact elder} "Follow the stream," said {elder}, "for it'
                ' knows the way home."',
                "Then a bee came by. The bee was busy, but it stopped and flew ahead of {him}.",
            ),
            PARAGRAPH,
            (
                "{Hero} dried {his} tears and looked around. There stood the {tree} that {he} had"
                " passed, and behind it smoke rose from a chimney.",
                "It took a long time, but {he} did not give up. And at last {he} saw a light in a"
                " window.",
                "Step by step {he} found the way. {He} saw a fence that {he} knew, and then a gate"
                " that {he} knew even better.",
            ),
            (
                '"There you are!" cried {parent} and held {him} tight.',
                "{Parent} ran to meet {him}, and they hugged until they had no breath left.",
                '"I will never go so far alone again," {he} promised {parent}.',
            ),
            (
                "<night>",
                "The next time {he} followed something, {he} tied a ribbon to every tree.",
                "",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "the big leap",
        world="town",
        choices=(
            {"thing": "a very big slide", "place": "in the park", "deed": "slide down"},
            {"thing": "a diving board", "place": "at the pool", "deed": "jump"},
            {"thing": "a brown pony", "place": "at the fair", "deed": "ride"},
            {"thing": "a giant swing", "place": "in the park", "deed": "swing"},
            {"thing": "a climbing wall", "place": "at school", "deed": "climb up"},
            {"thing": "a tree house", "place": "in the garden", "deed": "climb up"},
            {"thing": "a ghost train", "place": "at the fair", "deed": "go in"},
            {
                "thing": "a fallen trunk over the stream",
                "place": "behind the farm",
                "deed": "walk across",
            },
        ),
        beats=(
            (
                "There was {thing} {place}, and {hero} was {afraid} of it.",
                "<brief> {Place}, there was {thing}. {Hero} had never dared to {deed}.",
            ),
            "Everyone else dared to {deed}, even {his} {pal}.",
            "<yard>",
            PARAGRAPH,
            (
                '"Come on, {call}!" called {friend}. "It is fun!"',
                '"Today I will do it," {he} told {parent} at breakfast.',
                "<one day> {he} went there all alone, just to look.",
            ),
            (
                "{Hero} took one step. {His} legs turned to jelly, and {he} turned around.",
                "{Hero} stood there for a good long time. Then {he} shook {his} head.",
                '"Maybe tomorrow," said {hero}. {He} said the same the next day, and the next.',
            ),
            maybe(
                "<watch>",
            ),
            PARAGRAPH,
            (
                '"Nobody has to {deed}," said {friend}. "But if you want, I will hold your hand'
                ' until you say let go."',
                '"When I was your age, I was {scared} too," said {parent}. "So I did it with one'
                ' eye closed."',
                'Then a little boy began to cry next to {him}. "I do not dare to {deed}," said the'
                ' boy. "I do not dare either," said {hero}. "Let us do it together."',
                "A sparrow sat on a nest above {him}. Its chick looked down, flapped, and jumped."
                " It flew!",
            ),
            (
                "{Hero} held {his} breath and counted to {number}. And then {he} did it.",
                '"One, two, three!" {he} shouted, and off {he} went.',
                "{Hero} closed one eye. Then {he} did it, before {he} could think again.",
            ),
            PARAGRAPH,
            maybe(
                "The wind rushed past {his} ears. {Hero} screamed and laughed at the same time.",
                "It felt as if {his} tummy had wings.",
                "It was over in a moment, and {he} was still alive.",
            ),
            (
                '"Again!" {he} cried. "I want to do it again!"',
                "They had to drag {him} home for supper.",
                '"Did you see me?" {he} asked everyone, even the ducks.',
                "{Hero} was still {afraid}, but only as much as is fun.",
            ),
        ),
    ),
    Plot(
        "first day of school",
        world="town",
        choices=({"teacher": "Miss {surname}"},),
        beats=(
            (
                "{Hero} woke up before the sun, because it was {his} first day of school.",
                "<brief> Now {he} was big enough to go to school.",
                '"Wake up, {call}!" called {parent}. "It is your first day of school!"',
            ),
            "<morning>",
            maybe(
                "{Hero} packed {his} {colour} bag {number} times.",
                "{He} wore {his} new {colour} {wear}. It itched a little.",
                "{Parent} put an apple and a note in {his} bag.",
            ),
            (
                "Off they went to school. <street>",
                "Then they set out. <street>",
            ),
            PARAGRAPH,
            (
                "The school looked as big as a ship. {Hero} held on to {parent} and would not let"
                " go.",
                "There were so many children, and {he} did not know a single one.",
                "At the door {his} feet stopped and would not go on.",
            ),
            (
                '"What if nobody likes me?" {he} asked. "Then they do not know you yet," said'
                " {parent}.",
                '"Can you stay with me?" {he} whispered. "No, but I put a kiss in your pocket,"'
                " said {parent}.",
                '"Good morning, {call}!" said {teacher}. "I saved a seat for you by the window."',
            ),
            PARAGRAPH,
            (
                "Next to {him} sat {intro2}. {He2} had no pencil, so {hero} broke {his} {colour}"
                " crayon in two.",
                'Next to {him} sat {intro2}. "I am {scared} too," {he2} whispered, and that'
                " helped.",
                "Next to {him} sat {intro2}. When {hero} dropped {his} books, {he2} helped {him}"
                " to pick them up.",
            ),
            maybe(
                "They sang {a tune}, and they painted, and they learned to write their names.",
                "{Teacher} showed them a frog in a tank. Everyone laughed when it jumped on the"
                " desk.",
                "They counted all the windows and listened to a story about a whale.",
                "They built a tower that reached to the lamp.",
            ),
            PARAGRAPH,
            (
                '"How was it?" asked {parent} when the bell had rung. "Too short," said {hero}.',
                'After school {hero} talked all the way home. "Can I go again tomorrow?" {he}'
                " asked.",
                "<friends>",
            ),
        ),
    ),
)
