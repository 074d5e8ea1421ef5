# SPDX-License-Identifier: Apache-2.0
"""Plots about being kind: sharing, taking turns, making friends, saying sorry, giving."""

from sgatlin.input.storyworld.grammar import PARAGRAPH, Plot, maybe

PLOTS = (
    Plot(
        "share food",
        beats=(
            "<open>",
            "<one day> {parent} gave {him} {a treat}.{fact treat} {Hero} [sat down under {a tree}"
            " to eat it|carried it to {his} favorite spot|could hardly wait to taste it].",
            "<yard>",
            PARAGRAPH,
            (
                'Just then, {intro2} came by and sighed.{fact friend} "I have not eaten [all'
                ' day|since yesterday]," {he2} said.',
                "Then {he} saw {intro2} who sat all alone [by the fence|on a log|in the"
                ' grass].{fact friend} "I am so hungry," said {friend}.',
                'Then {intro2} came up to {him} and sniffed.{fact friend} "That {treat} smells'
                ' wonderful," said {friend}.',
            ),
            maybe(
                "{Hero} looked at the {treat}. It was not very big, and {he} wanted every bite.",
                '"This is mine," said {hero} and turned away. But the first bite did not taste'
                " good at all.",
                "{Hero} did not answer at first. Then {he} heard the rumble of an empty tummy.",
                "{Hero} thought of the day when {he} had been hungry too.",
            ),
            PARAGRAPH,
            (
                "So {he} split the {treat} in two and gave {friend} the bigger half. <thanks>",
                "So {he} cut the {treat} into two halves, one for {friend} and one for {himself}."
                " <thanks>",
                '"Come and sit with me," said {hero}, and {he} broke the {treat} in two. <thanks>',
            ),
            (
                "They ate together and told each other [jokes|riddles|stories] until the sun went"
                " down. <friends>",
                "The {treat} had never tasted so good. Half of it was more fun than all of it.",
                "The next day, {friend} came back with a basket of {fruits}. This time, {friend}"
                " shared with {hero}. <friends>",
                "When {hero} told {parent} about it, {parent} smiled and gave {him} two the next"
                " day.",
            ),
        ),
    ),
    Plot(
        "take turns",
        world="town",
        choices=(
            {"plaything": "swing", "use": "swing", "where": "in the park"},
            {"plaything": "sled", "use": "ride", "where": "behind the school"},
            {"plaything": "scooter", "use": "ride", "where": "in front of the house"},
            {"plaything": "drum", "use": "play", "where": "behind the house"},
            {"plaything": "kite", "use": "fly it", "where": "in the big field"},
            {"plaything": "ball", "use": "kick it", "where": "in the yard"},
            {"plaything": "wagon", "use": "ride", "where": "in the garden"},
            {"plaything": "telescope", "use": "look", "where": "on the roof"},
            {"plaything": "trampoline", "use": "jump", "where": "behind the barn"},
        ),
        beats=(
            (
                "There was only one {plaything} {where}.{fact plaything} Both {hero} and {his}"
                " {pal} wanted it.",
                "<open> <one day> {he} found {a colour} {plaything} {where}.{fact plaything} But"
                " {his} {pal} had seen it too.",
                "{Hero} and {his} {pal} ran outside to play. {Where}, there stood {a colour}"
                " {plaything}.{fact plaything}",
            ),
            maybe(
                "<yard>",
            ),
            (
                '"I saw it first!" said {hero}. "No, I did!" said {friend}.',
                '"It is mine!" cried {hero}. "No, mine!" cried {friend}.',
                '"I want to go first," said {hero}. "You always go first," said {friend}.',
            ),
            PARAGRAPH,
            (
                "They pulled and pushed and shouted. Nobody had any fun.",
                "{Hero} held on tight. {Friend} held on tighter. Soon both of them were crying.",
                "They grew louder and louder, until {parent} came out to see what was wrong.",
                "{Hero} grabbed it and would not let go. {Friend} sat down on the ground and began"
                " to cry.",
            ),
            maybe(
                "<watch>",
            ),
            (
                '{Parent} did not scold them. "How long is a turn?" asked {parent}. {Hero} thought'
                ' about it. "As long as it takes to count to {number} times ten," {he} said.',
                'Then {hero} saw a tear on {his2} cheek, and {his} heart felt heavy. "You may have'
                ' it first," {he} said. "I will count to twenty, and then we swap."',
                'Then {friend} had an idea. "We can take turns," {he2} said. "You {use} while I'
                ' count, and then I {use} while you count."',
            ),
            PARAGRAPH,
            (
                "So they took turns. The one who waited counted out loud and clapped.",
                "And so they did. Counting turned out to be almost as much fun as the {plaything}.",
                "They tried it, and it worked. By noon they had both lost count.",
            ),
            maybe(
                '"This is much better," said {friend}. {Hero} laughed and nodded.',
                "From then on, nobody had to ask whose turn it was.",
                'When it was time to go home, {hero} smiled at {friend}. "Tomorrow you go first,"'
                " {he} said.",
                "And when a smaller child came along, there were three turns instead of two.",
            ),
        ),
    ),
    Plot(
        "new friend",
        beats=(
            "<open>",
            (
                "But {he} had nobody to play with.",
                "{He} had many toys, but no one to share them with.",
                "Every day {he} played alone.",
                "It was nice there, but a little lonely.",
            ),
            "<yard>",
            PARAGRAPH,
            (
                "<one day> {hero} saw {intro2} who stood by the fence and looked at the"
                " ground.{fact friend}",
                "<one day> {intro2} moved in next door and hid behind {a box}.{fact friend}",
                "<one day> {hero} heard someone hum behind {a tree}. It was {intro2}.{fact friend}",
            ),
            maybe(
                "{Hero} waved, but {friend} only turned red.",
                '{Hero} said, "Hi." Nobody answered.',
                "{Hero} wanted to say hello, but the words stuck in {his} throat.",
            ),
            PARAGRAPH,
            (
                "Then {he} rolled {a colour} marble across the grass, and it stopped at {his2}"
                " toes. After a moment, {friend} rolled it back.",
                'So {he} sat down, not too close, and drew a cow with wings in the sand. "Cows'
                ' cannot fly!" said {friend} and laughed.',
                "Then {he} fetched a bowl of {fruits} and put it down halfway. A little later,"
                " {friend} came and took one.",
                "Then {he} made the funniest face {he} could. {Friend} smiled and made one that"
                " was even funnier.",
                "So {he} blew a soap bubble as big as a melon. It popped on {his2} nose, and"
                " {friend} giggled.",
            ),
            (
                '"Do you want to play?" asked {hero}. "I thought you would never ask," said'
                " {friend}.",
                '"Will you be my friend?" asked {friend}. "I already am," said {hero}.',
                '"Do you know any games?" asked {friend}. "About a hundred," said {hero}.',
            ),
            PARAGRAPH,
            (
                "They played [tag|catch|pirates|leapfrog|pretend] until supper. <friends>",
                "They built a den out of [sticks|boxes|branches] with room for two. <friends>",
                "The afternoon went by like a minute. <friends>",
            ),
        ),
    ),
    Plot(
        "angry words",
        choices=(
            {"why": "{friend} had stepped on {his} [drawing|sand castle|flower bed]"},
            {"why": "{friend} had won [the game|every race] that day"},
            {"why": "{friend} had forgotten to wait for {him}"},
            {"why": "{friend} had played with [the twins|someone else] all morning"},
            {"why": "{friend} had laughed at {his} new {colour} {wear}"},
            {"why": "{friend} had dropped {his} [sandwich|cookie|pie] in the mud"},
        ),
        beats=(
            "<pair>",
            "But <quarrel>, {hero} got very {cross}, because {why}.",
            (
                '"You are not my friend anymore!" {he} shouted. {Friend} did not say a word and'
                " went away.",
                '"Go away!" {he} yelled. "I do not want to see you again!" So {friend} walked away'
                " with {his2} head down.",
                '"That was mean!" {he} shouted, and {he} said some words that were even meaner.'
                " {Friend} ran home in tears.",
            ),
            PARAGRAPH,
            (
                "At home, {hero} did not want to play. <home> But {he} still had a lump in {his}"
                " throat.",
                "The afternoon was very quiet. {Hero} kicked a pebble and thought of {friend}.",
                "{Hero} could not eat {his} supper. <home>",
            ),
            maybe(
                '"What is the matter, {dear}?" asked {parent}. {Hero} told the whole story. "Angry'
                ' words are like [thorns|splinters]," said {parent}. "They hurt until someone'
                ' pulls them out."',
                '"It was only an accident," {he} thought. "And I made it so much worse."',
                '"Can you take back a word?" {he} asked {parent}. "No," said {parent}. "But you'
                ' can add a better one."',
            ),
            PARAGRAPH,
            (
                'So {he} picked some {flower} and [ran|went] to {friend}\'s door. "I am sorry,"'
                ' {he} said. "I was {cross}, and I was unfair."',
                'So {he} made {a colour} card and wrote one big word on it: "Sorry." {He} carried'
                " it to {friend} and waited without a word.",
                'So {he} went to find {friend}, who sat on a [wall|log|bench]. "I am sorry," said'
                ' {hero} in a small voice. "Please be my friend again."',
            ),
            (
                'For a moment it was very still. "I am sorry too," said {friend}. "Let us never'
                ' fight again."',
                '{Friend} looked up, and slowly {he2} began to smile. "I missed you," {he2} said.',
                '"It was a very long afternoon without you," said {friend}, and {he2} gave {hero}'
                " a hug.",
            ),
            maybe(
                "They fought again one day, of course. But they never forgot how to say sorry.",
                "Then they shared a plate of {fruits}, and everything was all right.",
                "And they went out to play, as if nothing had happened.",
                "The lump in {his} throat melted away like snow.",
            ),
        ),
    ),
    Plot(
        "a gift",
        choices=(
            {
                "gift": "necklace",
                "first": "{He} strung {colour} beads on a thread",
                "bad": "the thread broke and the beads rolled away",
                "then": "a card out of leaves",
            },
            {
                "gift": "cake",
                "first": "{He} stirred flour and eggs in a bowl",
                "bad": "the cake came out black as coal",
                "then": "a crown out of {flower}",
            },
            {
                "gift": "picture",
                "first": "{He} painted {a colour} ship on paper",
                "bad": "the rain came in and washed the ship away",
                "then": "a song with {number} verses",
            },
            {
                "gift": "scarf",
                "first": "{He} took {colour} wool and began to knit",
                "bad": "it came out with more holes than wool",
                "then": "a bookmark with one long tassel",
            },
            {
                "gift": "pot",
                "first": "{He} made a pot out of clay",
                "bad": "the pot fell and broke into seven pieces",
                "then": "a dance that nobody had seen before",
            },
            {
                "gift": "birdhouse",
                "first": "{He} nailed some boards together",
                "bad": "the roof fell off and so did the floor",
                "then": "a bouquet of {flower}",
            },
        ),
        beats=(
            "<open>",
            "Soon it would be {gran}'s birthday, and {hero} wanted to make {a gift} all by"
            " {himself}.",
            PARAGRAPH,
            "{first}. <pets> But in the end {bad}.",
            maybe(
                '"Now I have no present," {he} said, and a tear ran down {his} cheek.',
                "{Hero} stamped {his} foot and wanted to give up.",
                "{Hero} felt so {sad} that {he} hid under the table.",
            ),
            PARAGRAPH,
            maybe(
                '"{Gran} does not need a perfect present," said {parent}. "Think of something that'
                ' only you can give."',
                '{Parent} gave {him} a hug. "It is all right to begin again, {dear}," said'
                " {parent}.",
            ),
            "<think> Then {he} made {then}.",
            (
                'When {gran} saw it, {gran} laughed and cried and hugged {him}. "It is the best'
                ' present of all," said {gran}.',
                '"Did you make this for me?" asked {gran}. "Then I will remember it as long as I'
                ' live."',
                '"How did you know?" cried {gran}. "That is just what I wished for!"',
            ),
            (
                "",
                "<happy>",
                "{Hero} had learned that a gift is as big as the love in it.",
                "<night>",
                "",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "hurt bird",
        world="town",
        beats=(
            "<open>",
            "<one day> {hero} found {a bird} [under {a tree}|beside the fence|on the doorstep]. It"
            " had hurt its wing and could not fly.",
            maybe(
                '"Poor little thing," said {hero}. "I will take care of you."',
                "{Hero} bent down slowly. The little heart beat fast in {his} hands.",
                '"Do not be afraid," {he} whispered.',
            ),
            PARAGRAPH,
            (
                "{Hero} made a nest of [wool|cotton|hay] in a shoe box. {Parent} showed {him} how"
                " to wrap the wing.",
                "{Hero} ran to {elder}, who knew a lot about birds. Together they put a little"
                " bandage on the wing.",
            ),
            "<nurse>",
            maybe(
                "Every day {he} brought it seeds and water. Every night {he} said good night to"
                " it.",
                "{Hero} fed it [crumbs|seeds|worms] and sang to it, day after day.",
                "Day by day the {bird} grew stronger. It ate from {his} hand and chirped when {he}"
                " came home.",
            ),
            PARAGRAPH,
            (
                "One morning the {bird} flapped both wings. {Hero} knew that it was time.",
                "After {number} weeks, the wing had healed. {Hero} carried the box outside.",
            ),
            (
                "It hurt a little to say goodbye. But {he} opened {his} hands, and the {bird} rose"
                " up into the sky.",
                '"Fly home," {he} said, though {he} had to swallow hard. The {bird} flew once'
                " around {his} head, and then it flew away.",
            ),
            maybe(
                "In spring, {a bird} sat on {his} window sill and sang. {Hero} knew at once who it"
                " was.",
                "The next year, there was a nest in the {tree}. When {hero} whistled, somebody"
                " whistled back.",
                '"Are you {sad}?" asked {parent}. "A little," said {hero}. "But I am more {happy}'
                ' than {sad}."',
            ),
        ),
    ),
    Plot(
        "honest finder",
        world="town",
        choices=(
            {
                "lost": "purse",
                "inside": "It was full of money",
                "owner": "an old woman",
                "owner2": "the old woman",
            },
            {
                "lost": "ring",
                "inside": "It had {a colour} stone in it",
                "owner": "a young woman",
                "owner2": "the young woman",
            },
            {
                "lost": "watch",
                "inside": "It still ticked",
                "owner": "a young man",
                "owner2": "the young man",
            },
            {
                "lost": "necklace",
                "inside": "It had {number} {colour} pearls",
                "owner": "a girl",
                "owner2": "the girl",
            },
            {
                "lost": "trumpet",
                "inside": "It gleamed like gold",
                "owner": "a boy",
                "owner2": "the boy",
            },
            {
                "lost": "wallet",
                "inside": "There was a lot of money in it",
                "owner": "a bus driver",
                "owner2": "the bus driver",
            },
            {
                "lost": "bracelet",
                "inside": "{A trinket} hung on it",
                "owner": "a teacher",
                "owner2": "the teacher",
            },
        ),
        beats=(
            (
                "<open>",
                "<open> {He} was saving up for {a colour} [bike|sled|guitar|tent].",
            ),
            "<one day> {he} walked through the town all by {himself}. <street>",
            PARAGRAPH,
            "Then {he} saw something under a bench. It was {a lost}! {Inside}.",
            maybe(
                '"Nobody saw me pick it up," {he} thought. "I could keep it."',
                "{Hero} put it in {his} pocket. It felt heavier with every step.",
                "For a moment {he} wanted to keep it. Then {he} thought of the one who had lost"
                " it.",
            ),
            PARAGRAPH,
            (
                "Then {he} saw {owner} who looked behind every tree and under every cart.",
                "By the fountain stood {owner} with red eyes.",
                "So {he} asked in every shop. In the last one stood {owner}, close to tears.",
            ),
            (
                '"Did you lose {a lost}?" asked {hero}. "Yes!" cried {owner2}. "I looked for it'
                ' everywhere!"',
                '"I think this is yours," said {hero} and held out the {lost}. "You found it!"'
                " cried {owner2}.",
            ),
            (
                '"Take this as a reward," said {owner2}, but {hero} shook {his} head and smiled.',
                "{Owner2} bought {him} the biggest ice cream in town. It had {number} scoops.",
                'They shook hands, and {owner2} said, "The world needs more people like you."',
                "All the way home {hero} felt {happy}. {His} pocket was empty, but {his} heart"
                " felt full.",
            ),
            (
                "",
                '"I am glad that you gave it back," said {parent} that evening. "So am I," said'
                " {hero}.",
                "<night>",
                "",
                "",
                "",
            ),
        ),
    ),
    Plot(
        "a heavy load",
        choices=(
            {"load": "a sack of potatoes", "later": "a bowl of potato soup"},
            {"load": "a basket of {fruits}", "later": "a jar of jam"},
            {"load": "a bundle of wood", "later": "a little wooden boat"},
            {"load": "a basket of laundry", "later": "a handkerchief with {his} name on it"},
            {"load": "two buckets of water", "later": "a cup of cold lemonade"},
            {"load": "a crate of books", "later": "a book about pirates"},
            {"load": "a big bag of wool", "later": "a pair of {colour} socks"},
            {"load": "a sack of flour", "later": "a bag of ginger cookies"},
        ),
        beats=(
            "<open>",
            "<one day> {he} was on {his} way to [a picnic|a puppet show|the fair|a party].",
            (
                "<way>",
                "<meet>",
                "<way> <meet>",
            ),
            PARAGRAPH,
            "Then {he} met {elder} with a heavy load.{fact elder} It was {load}.",
            maybe(
                "{Hero} wanted to hurry on. But {he} stopped and turned around.",
                '"If I help, I will be late," {he} thought. Then {he} saw how {elder} had to rest'
                " after every step.",
                "{Hero} did not think twice.",
            ),
            '"Let me help you, {call3}," {he} said. Together they [carried|dragged|pulled] it all'
            " the way [home|up the lane|to the door].",
            PARAGRAPH,
            maybe(
                "By then it was late, and {hero} had missed everything. {He} did not mind much.",
                "{Hero} ran the rest of the way. {He} came just in time for the best part.",
                "Because {he} was late, {he} missed the start. Still, {he} felt [good|{happy}].",
            ),
            (
                "The next day there was a surprise in front of {his} door. {Elder} had brought"
                " {him} {later}.",
                "A week later, {hero} fell and hurt {his} [leg|knee]. Guess who carried {him}"
                " home? It was {elder}.",
                '"One day I will help you too," said {elder}. And so it happened, when the winter'
                " came.",
                '"You have a good heart," said {elder}, and gave {him} {later}.',
            ),
            (
                "",
                "<happy>",
                "A load is only half as heavy when two carry it.",
                "",
                "",
                "",
            ),
        ),
    ),
)
